"""Parameters of templates, and how their values come into a body: by value, never by reading text again.

A body is a tree of JSON. ``${name}`` alone in a text becomes the value with its type; within a longer
text it becomes the value's text, and the whole stays one text. Keys are never replaced, so a value cannot
become structure. Documents inside a text (cloud-init's YAML) are parsed first and filled leaf by leaf.
``$${`` is a literal ``${``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from compute.errors import InvalidInput

TYPES = ("string", "int", "bool", "choice", "size")
PARAMETERS_MAX = 50
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PLACE = re.compile(r"\$\$\{|\$\{([^{}]*)\}")
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMGTP]i?B?|B)?", re.IGNORECASE)
_POWER = {"": 0, "B": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_TEXT_MAX, _INT_MAX = 4096, 2**53
_KEYS = {"name", "type", "default", "required", "secret", "description", "choices"}
# Texts that are YAML of their own, by the keys that lead to them.
_DOCUMENTS = {
    ("config", "cloud_init", "user_data"),
    ("config", "cloud_init", "meta_data"),
    ("config", "cloud_init", "network_config"),
}
_CLOUD_CONFIG = "#cloud-config\n"
_DEPTH_MAX = 20

Path = tuple[str, ...]


def parameters_check(given: Any) -> list[dict[str, Any]]:
    """The parameters of a template, complete. Raises ``InvalidInput`` naming ``parameters.<n>.<key>``."""
    if not isinstance(given, list) or len(given) > PARAMETERS_MAX:
        raise InvalidInput.field("parameters", f"must be a list of at most {PARAMETERS_MAX}.")
    found = [_parameter(f"parameters.{number}", item) for number, item in enumerate(given)]
    names = [item["name"] for item in found]
    double = next((name for name in names if names.count(name) > 1), None)
    if double:
        raise InvalidInput.field("parameters", f"“{double}” is there twice.")
    return found


def values_check(parameters: Sequence[Mapping[str, Any]], given: Any) -> dict[str, Any]:
    """By name, with the defaults of what is not given. Raises ``InvalidInput`` naming
    ``parameters.<name>``; never repeats a value."""
    if not isinstance(given, Mapping):
        raise InvalidInput.field("parameters", "must be an object of values by name.")
    known = {item["name"]: item for item in parameters}
    unknown = sorted(str(name) for name in set(given) - set(known))
    if unknown:
        accepted = ", ".join(sorted(known)) or "none"
        raise InvalidInput.field(
            f"parameters.{unknown[0][:63]}", f"is not one of this template's: {accepted}."
        )
    values = {}
    for name, item in known.items():
        value = given.get(name)
        if value is None:
            value = item["default"]
        if value is None and item["required"]:
            raise InvalidInput.field(f"parameters.{name}", "is needed.")
        values[name] = None if value is None else _value(f"parameters.{name}", item, value)
    return values


def body_check(body: Mapping[str, Any], parameters: Sequence[Mapping[str, Any]]) -> None:
    """Every placeholder names a parameter. Raises ``InvalidInput`` with its place."""
    known = {item["name"] for item in parameters}

    def look(name: str, path: Path) -> Any:
        if name not in known:
            raise InvalidInput.field(
                ".".join(path), f"“${{{name[:63]}}}” is no parameter; a literal one is written $${{."
            )
        return ""

    _filled(body, look, ())


def body_fill(body: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The body with its values. A key whose whole value is an optional parameter without one is left
    out."""
    return dict(_filled(body, lambda name, _: values[name], ()))


def text_escape(text: str) -> str:
    """So that it comes out of ``body_fill`` as it is."""
    return text.replace("${", "$${")


def tree_escape(value: Any) -> Any:
    """The same for every text of a tree."""
    if isinstance(value, str):
        return text_escape(value)
    if isinstance(value, Mapping):
        return {key: tree_escape(item) for key, item in value.items()}
    return [tree_escape(item) for item in value] if isinstance(value, list) else value


def placeholders_of(value: Any) -> Iterator[str]:
    """The names in one text."""
    if isinstance(value, str):
        yield from (match[1] for match in _PLACE.finditer(value) if match[1] is not None)


def _filled(value: Any, look: Callable[[str, Path], Any], path: Path) -> Any:
    if len(path) > _DEPTH_MAX:
        raise InvalidInput.field(".".join(path[:3]), "is nested too deeply.")
    if isinstance(value, Mapping):
        found = {str(key): _filled(item, look, (*path, str(key))) for key, item in value.items()}
        return {key: item for key, item in found.items() if item is not None or value[key] is None}
    if isinstance(value, list):
        items = [_filled(item, look, (*path, str(number))) for number, item in enumerate(value)]
        return [item for item in items if item is not None]
    if not isinstance(value, str) or "${" not in value:
        return value
    if path in _DOCUMENTS:
        return _document(value, look, path)
    whole = _PLACE.fullmatch(value)
    if whole is not None and whole[1] is not None:
        return look(whole[1], path)
    return _PLACE.sub(lambda match: "${" if match[1] is None else _text(look(match[1], path)), value)


def _document(text: str, look: Callable[[str, Path], Any], path: Path) -> str:
    """YAML inside a text: its leaves are filled, then it is written anew."""
    try:
        # Aliases could make much of little.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise InvalidInput.field(".".join(path), "takes no parameters where it has YAML aliases.")
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInput.field(".".join(path), "is no YAML, so it takes no parameters.") from error
    if not isinstance(tree, (dict, list)) or text.startswith("#!"):
        raise InvalidInput.field(
            ".".join(path),
            "takes parameters only as #cloud-config or other structured YAML, no script.",
        )
    head = _CLOUD_CONFIG if text.startswith("#cloud-config") else ""
    return head + str(yaml.safe_dump(_filled(tree, look, ("document",)), sort_keys=False, allow_unicode=True))


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parameter(place: str, given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidInput.field(place, "must be an object.")
    unknown = sorted(str(key) for key in set(given) - _KEYS)
    if unknown:
        raise InvalidInput.field(f"{place}.{unknown[0][:50]}", f"is not one of {', '.join(sorted(_KEYS))}.")
    name, kind = given.get("name"), given.get("type", "string")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInput.field(f"{place}.name", "must be 1 to 63 of a-z, 0-9 and _, a letter first.")
    if kind not in TYPES:
        raise InvalidInput.field(f"{place}.type", f"must be one of {', '.join(TYPES)}.")
    for key in ("required", "secret"):
        if not isinstance(given.get(key, False), bool):
            raise InvalidInput.field(f"{place}.{key}", "must be true or false.")
    found = {
        "name": name,
        "type": kind,
        "default": given.get("default"),
        "required": given.get("required", False),
        "secret": given.get("secret", False),
        "description": _description(place, given.get("description", "")),
        "choices": _choices(place, kind, given.get("choices") or []),
    }
    if found["default"] is not None:
        if found["secret"]:
            raise InvalidInput.field(f"{place}.default", "a secret has none: everybody could read it here.")
        found["default"] = _value(f"{place}.default", found, found["default"])
    return found


def _description(place: str, given: Any) -> str:
    if not isinstance(given, str) or len(given) > 500 or not given.isprintable():
        raise InvalidInput.field(f"{place}.description", "must be one line of at most 500 characters.")
    return given


def _choices(place: str, kind: str, given: Any) -> list[str]:
    good = isinstance(given, list) and all(
        isinstance(word, str) and word.isprintable() and 0 < len(word) <= 255 for word in given
    )
    if not good or len(given) > 100 or bool(given) != (kind == "choice"):
        raise InvalidInput.field(f"{place}.choices", "must be 1 to 100 texts for a choice, else nothing.")
    return list(given)


def _value(place: str, item: Mapping[str, Any], given: Any) -> Any:
    kind = item["type"]
    if kind == "bool":
        return _boolean(place, given)
    if kind == "int":
        if isinstance(given, bool) or not isinstance(given, int) or abs(given) > _INT_MAX:
            raise InvalidInput.field(place, "must be a whole number.")
        return given
    if kind == "size":
        return _size(place, given)
    if not isinstance(given, str) or len(given) > _TEXT_MAX or not given.isprintable():
        raise InvalidInput.field(place, f"must be one line of text, at most {_TEXT_MAX} characters.")
    if kind == "choice" and given not in item["choices"]:
        raise InvalidInput.field(place, f"must be one of {', '.join(item['choices'])[:500]}.")
    return given


def _boolean(place: str, given: Any) -> bool:
    if not isinstance(given, bool):
        raise InvalidInput.field(place, "must be true or false.")
    return given


def _size(place: str, given: Any) -> int:
    """Bytes, or a text such as ``10GiB``; units are powers of 1024."""
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= _INT_MAX:
        return given
    found = _SIZE.fullmatch(given.strip()) if isinstance(given, str) else None
    if found is None:
        raise InvalidInput.field(place, "must be bytes, or a size such as 512MiB or 10GiB.")
    size = int(float(found[1]) * 1024 ** _POWER[(found[2] or "")[:1].upper()])
    if size > _INT_MAX:
        raise InvalidInput.field(place, "is too large.")
    return size
