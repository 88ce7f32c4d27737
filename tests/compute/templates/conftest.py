"""The clients of the API's tests."""

from tests.compute.api.conftest import as_admin, as_operator, as_stranger, as_viewer

__all__ = ["as_admin", "as_operator", "as_stranger", "as_viewer"]
