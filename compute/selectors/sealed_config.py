"""Configurations as the database keeps them: what answers mask lies sealed, ``{"sealed": …}`` in the place
of each such value, so that lists need no key, and whoever forgets to open one gets no text by mistake."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import orjson

from compute.sealing import SealedOtherwise, seal, unseal
from compute.selectors.masking import SECRET_MAPPINGS, is_secret

_SEALED = "sealed"
_DIGEST_KEY = secrets.token_bytes(32)


def config_sealed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with its secret variables sealed; those that are already stay."""
    return _each(config, _sealed)


def config_opened(config: Mapping[str, Any]) -> dict[str, Any]:
    """As it was before it was sealed. Raises ``SealedOtherwise``."""
    return _each(config, lambda _, value: unseal(value[_SEALED]) if isinstance(value, Mapping) else value)


def config_resealed(kept: Mapping[str, Any], seen: Mapping[str, Any]) -> dict[str, Any]:
    """``seen``, as it is to be kept: what says the same stays as it is in ``kept``, because each sealing of a
    value looks different."""
    found = dict(seen)
    for name in SECRET_MAPPINGS:
        if isinstance(found.get(name), Mapping):
            before = kept.get(name) or {}
            found[name] = {key: _resealed(before.get(key), key, value) for key, value in found[name].items()}
    return found


def _resealed(before: Any, key: str, value: Any) -> Any:
    if isinstance(before, Mapping):
        # With another key it says nothing, and is sealed anew.
        with suppress(SealedOtherwise):
            if _digest_of_sealed(before[_SEALED]) == _digest(value):
                return before
    return _sealed(key, value)


def _sealed(key: str, value: Any) -> Any:
    is_plain_secret = not isinstance(value, Mapping) and is_secret(key, value)
    return {_SEALED: seal(value)} if is_plain_secret else value


@lru_cache(maxsize=2048)
def _digest_of_sealed(text: str) -> bytes:
    """Every look at a container asks for it; opening costs ten times as much."""
    return _digest(unseal(text))


def _digest(value: Any) -> bytes:
    """Good in this process only: nobody else can tell by it what the value may be."""
    return blake2b(orjson.dumps(value), key=_DIGEST_KEY, digest_size=16).digest()


def _each(config: Mapping[str, Any], made: Callable[[str, Any], Any]) -> dict[str, Any]:
    found = dict(config)
    for name in SECRET_MAPPINGS:
        if isinstance(found.get(name), Mapping):
            found[name] = {key: made(key, value) for key, value in found[name].items()}
    return found
