"""Secrets at rest: only this site opens them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from compute import sealing
from compute.errors import BackendUnavailable
from tests.attacks.catalogue import attack


@pytest.fixture(autouse=True)
def _fresh_keys() -> Iterator[None]:
    sealing._keys.cache_clear()
    yield
    sealing._keys.cache_clear()


@attack("S76", "reading a sealed secret in the database", refused="ciphertext only")
def test_what_was_sealed_opens_again_and_does_not_show() -> None:
    sealed = sealing.seal({"password": "hunter2"})
    assert "hunter2" not in sealed
    assert sealing.unseal(sealed) == {"password": "hunter2"}
    assert sealing.unseal("") is None


def test_the_same_value_is_sealed_differently_each_time() -> None:
    assert sealing.seal("x") != sealing.seal("x")


@attack("S79", "another key at the start", refused="does not open it, and says what to do")
def test_another_key_does_not_open_it_and_says_what_to_do(settings: Any) -> None:
    sealed = sealing.seal("x")
    settings.SECRET_KEY = "another key that is long enough for a test"
    sealing._keys.cache_clear()
    with pytest.raises(BackendUnavailable, match="LIBGO_SECRET_KEY"):
        sealing.unseal(sealed)


@attack("S79", "a key that was changed", refused="the older one still opens")
def test_an_older_key_still_opens_it(settings: Any) -> None:
    sealed, old = sealing.seal("x"), settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another key that is long enough for a test", [old]
    sealing._keys.cache_clear()
    assert sealing.unseal(sealed) == "x"


def test_a_seal_that_was_tampered_with_does_not_open() -> None:
    sealed = sealing.seal("x")
    with pytest.raises(BackendUnavailable):
        sealing.unseal(f"{sealed[:-4]}AAA=")
