"""Configurations as the database keeps them: what answers mask lies sealed, ``{"sealed": …}`` in the place
of each such value, so that lists need no key, and whoever forgets to open one gets no text by mistake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from compute.sealing import SealedOtherwise, seal, unseal
from compute.selectors.masking import SECRET_MAPPINGS, is_secret

_SEALED = "sealed"


def config_sealed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with its secret variables sealed; those that are already stay."""
    return _each(config, lambda key, value: {_SEALED: seal(value)} if _is_plain_secret(key, value) else value)


def config_opened(config: Mapping[str, Any]) -> dict[str, Any]:
    """As it was before it was sealed. Raises ``SealedOtherwise``."""
    return _each(config, lambda _, value: unseal(value[_SEALED]) if isinstance(value, Mapping) else value)


def config_resealed(kept: Mapping[str, Any], seen: Mapping[str, Any]) -> dict[str, Any]:
    """``seen``, as it is to be kept: ``kept`` itself when it says the same, because each sealing of a value
    looks different."""
    try:
        is_same = config_opened(kept) == seen
    except SealedOtherwise:
        is_same = False
    return dict(kept) if is_same and not _holds_plain_secret(kept) else config_sealed(seen)


def _each(config: Mapping[str, Any], made: Callable[[str, Any], Any]) -> dict[str, Any]:
    found = dict(config)
    for name in SECRET_MAPPINGS:
        if isinstance(found.get(name), Mapping):
            found[name] = {key: made(key, value) for key, value in found[name].items()}
    return found


def _holds_plain_secret(config: Mapping[str, Any]) -> bool:
    return any(
        _is_plain_secret(key, value)
        for name in SECRET_MAPPINGS
        for key, value in (config.get(name) or {}).items()
    )


def _is_plain_secret(key: str, value: Any) -> bool:
    return not isinstance(value, Mapping) and is_secret(key, value)
