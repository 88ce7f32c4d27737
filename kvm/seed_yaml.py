"""The YAML of a cloud-init seed, read within bounds; what is wrong is told with its line.

A guest reads these texts long after they were given, and says nothing when it cannot: so they are
read here first, by a safe loader, with the checks that a guest's own reader would only log.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

from compute.errors import InvalidInput
from compute.tell import tell

TEXT_MAX = 64 * 1024
_DEPTH_MAX, _ALIASES_MAX, _EVENTS_MAX, _EXPANDED_MAX = 24, 64, 20_000, 20_000
_TAGS = {
    f"tag:yaml.org,2002:{word}"
    for word in "null bool int float binary timestamp omap pairs set str seq map merge".split()
}
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Wrong(Exception):
    """What is wrong with a text, and in which line (from 1)."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(f"line {line}: {reason}")


def yaml_read(field: str, text: str) -> Any:
    """The document of ``text``. Raises ``InvalidInput`` for ``field`` with the line."""
    try:
        _bounds_check(text)
        node = yaml.compose(text, Loader=_Loader)
        if node is not None:
            _node_check(node)
        return yaml.load(text, Loader=_Loader)  # nosec B506 # _Loader is a SafeLoader
    except Wrong as error:
        raise InvalidInput.field(field, str(error)) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = (error.problem or error.context or tell("is no YAML"))[:200]
        raise InvalidInput.field(field, f"line {mark.line + 1 if mark else 1}: {reason}.") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InvalidInput.field(field, f"line {line}: holds a character that is none of YAML.") from error
    except (ValueError, OverflowError, RecursionError, yaml.YAMLError) as error:
        raise InvalidInput.field(field, "line 1: holds a value that cannot be read.") from error


def line_of(text: str, key: str) -> int:
    """Where a top-level ``key`` stands; the first line when it is not found."""
    found = re.search(rf"""^["']?{re.escape(key)}["']? *:""", text, re.MULTILINE)
    return 1 + (text.count("\n", 0, found.start()) if found else 0)


def _bounds_check(text: str) -> None:
    """How deep and how many, before anything is built of it."""
    depth = aliases = 0
    for number, event in enumerate(yaml.parse(text, Loader=_Loader)):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if number > _EVENTS_MAX:
            raise Wrong("there is too much in it.", line)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
        if depth > _DEPTH_MAX:
            raise Wrong(f"is nested deeper than {_DEPTH_MAX}.", line)
        if aliases > _ALIASES_MAX:
            raise Wrong(f"has more than {_ALIASES_MAX} aliases.", line)


def _node_check(node: yaml.Node) -> None:
    """Known tags, no key twice, and no aliases that stand for more than a guest should unfold."""
    weights: dict[int, int] = {}
    path: set[int] = set()

    def weigh(item: yaml.Node) -> int:
        line = item.start_mark.line + 1
        if id(item) in path:
            raise Wrong("an alias holds itself.", line)
        if id(item) in weights:
            return weights[id(item)]
        if item.tag not in _TAGS:
            raise Wrong(f"the tag “{item.tag[:60]}” is not allowed.", line)
        path.add(id(item))
        total = 1 + sum(weigh(child) for child in _children(item))
        path.discard(id(item))
        if total > _EXPANDED_MAX:
            raise Wrong("its aliases stand for too much.", line)
        weights[id(item)] = total
        return total

    weigh(node)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if not isinstance(node, yaml.MappingNode):
        return []
    known: set[Hashable] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise Wrong("a key must be a plain text.", key.start_mark.line + 1)
        if key.value in known:
            raise Wrong(f"“{key.value[:60]}” stands twice.", key.start_mark.line + 1)
        known.add(key.value)
    return [part for pair in node.value for part in pair]
