"""What ``./libgo doctor`` says of the outside directories."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from compute.directories.oidc import oidc_forget
from tests.oidc_provider import OidcProvider

pytestmark = pytest.mark.django_db


@pytest.fixture
def oidc(settings: Any) -> Iterator[dict[str, Any]]:
    config = settings.LIBGO["oidc"]
    before = dict(config)
    oidc_forget()
    yield config
    config.clear()
    config.update(before)
    oidc_forget()


def _check() -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("directory_check", stdout=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_nothing_is_said_of_what_is_not_configured(oidc: dict[str, Any]) -> None:
    assert _check() == (0, "")


def test_a_provider_that_answers_and_one_that_does_not(oidc: dict[str, Any]) -> None:
    provider = OidcProvider()
    try:
        oidc.update(issuer=provider.issuer, client_id="libgo", groups=[])
        assert _check() == (0, f"ok single sign-on at {provider.issuer} answers\n")
    finally:
        provider.stop()
    oidc_forget()
    code, said = _check()
    assert code == 1 and said.startswith(f"FIX single sign-on at {provider.issuer}: ")


def test_a_group_of_no_project_is_named(oidc: dict[str, Any]) -> None:
    oidc.update(groups=[{"group": "web", "role": "operator", "project": "nowhere"}])
    code, said = _check()
    assert code == 1 and "no project “nowhere” for web" in said
