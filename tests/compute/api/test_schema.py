"""The OpenAPI schema: whole, without two things of one name, and made once."""

from __future__ import annotations

import pytest
from django.test import Client
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator

from compute.api import schema_view


def test_nothing_in_it_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    GENERATOR_STATS.reset()
    SchemaGenerator().get_schema(request=None, public=True)
    GENERATOR_STATS.emit_summary()
    assert "Warning" not in (told := capsys.readouterr().err), told


def test_it_is_made_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_view, "_made", {})
    first = client.get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"})
    assert first.status_code == 200 and first.json()["openapi"].startswith("3.")

    def made_again(*_: object, **__: object) -> None:
        raise AssertionError("it was made again")

    monkeypatch.setattr(schema_view.SchemaGenerator, "get_schema", made_again)
    monkeypatch.setattr(schema_view.OpenApiJsonRenderer, "render", made_again)
    again = client.get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"})
    assert again.content == first.content
    assert client.get("/api/schema").content.startswith(b"openapi: 3.")
    assert client.post("/api/schema").status_code == 405
