"""The text of a compose file: read strictly and within bounds, before any other program sees it.

What is handed on is written anew from what was read here, so that Compose's own parser cannot see
something else in it than the checks did.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from compute.tell import tell

TEXT_MAX = 256 * 1024
_EVENTS_MAX = 20_000
_EXPANDED_MAX = 50_000
_DEPTH_MAX = 32
_ALIASES_MAX = 200
_SCALAR_MAX = 64 * 1024
_TAGS = {f"tag:yaml.org,2002:{word}" for word in ("str", "int", "float", "bool", "null", "map", "seq")}
_RANGE, _RANGE_MAX = re.compile(r"(\d{1,5})-(\d{1,5})"), 256
_MERGE = "<<"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Guesses no types: what “yes” or “22:22” is, Compose decides."""


class _Dumper(yaml.SafeDumper):
    """Writes back what was read: nothing gets a type or quotes that it did not have."""


_Loader.yaml_implicit_resolvers = {}
_Dumper.yaml_implicit_resolvers = {}

Path = tuple[str, ...]

# Keys by which Compose would read files of the machine it runs on, and what to do instead.
_SERVICE_FILES = {
    "env_file": tell(
        "files of the server are not read; put the variables into “environment” or the stack's env"
    ),
    "label_file": tell("files of the server are not read; put the labels into “labels”"),
    "build": tell("a stack does not build; build the image first (Docker, Images), then name it in “image”"),
    "develop": tell("there are no source files to watch here"),
    "provider": tell("programs of the server are not started"),
    "credential_spec": tell("files of the server are not read"),
}
_TOP_FILES = {
    "include": tell("files of the server are not read; paste what they hold into this file"),
    "models": tell("models are run by programs of the server, which are not started"),
}


@dataclass(frozen=True)
class Problem:
    """One reason why a compose file is refused (``level`` error), or worth a look (``warning``).
    ``line`` counts from 1, None where none can be told; ``rule`` names a policy, else empty."""

    reason: str
    line: int | None = None
    service: str = ""
    rule: str = ""
    level: str = "error"

    def shown(self) -> dict[str, Any]:
        return asdict(self)


class Refused(Exception):
    """Ends the reading at its first problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.reason)
        self.problem = problem


@dataclass(frozen=True)
class Document:
    """A text that was read: ``text`` is its rewritten form, ``lines`` where each key stands."""

    text: str
    lines: dict[Path, int]
    services: tuple[str, ...]

    def line(self, *path: str) -> int | None:
        """Where this stands, or the nearest thing around it that has a place."""
        for length in range(len(path), 0, -1):
            found = self.lines.get(path[:length])
            if found is not None:
                return found
        return None


def document_read(text: str) -> tuple[Document | None, list[Problem]]:
    """The document, or None with the reason. Takes well under a second whatever the text is."""
    try:
        _bounds(text)
        node = yaml.compose(text, Loader=_Loader)
        if not isinstance(node, yaml.MappingNode):
            raise Refused(Problem("the file must be a mapping with “services”", 1))
        _expanded(node, {}, set())
        lines: dict[Path, int] = {}
        _walk(node, (), lines)
        problems = [*_file_keys(node), *_wide_ranges(node)]
        names = tuple(key for key, _, _ in _pairs(_child(node, "services")))
        rewritten = yaml.serialize(node, Dumper=_Dumper, allow_unicode=True, width=4096)
        return Document(rewritten, lines, names), problems
    except Refused as refused:
        return None, [refused.problem]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(word for word in (error.context, error.problem) if word)
        return None, [Problem(f"this is no YAML: {said}"[:300], mark.line + 1 if mark else None)]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return None, [Problem(f"this is no YAML: {type(error).__name__}")]


def _bounds(text: str) -> None:
    """Sizes, depth, tags and documents, by events alone: nothing is built yet."""
    if len(text.encode("utf-8", "replace")) > TEXT_MAX:
        raise Refused(Problem(f"the file is larger than {TEXT_MAX // 1024} KiB"))
    if not text.strip():
        raise Refused(Problem("the file is empty"))
    depth = aliases = documents = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        line = event.start_mark.line + 1 if event.start_mark else None
        depth += _STEPS.get(type(event), 0)
        aliases += isinstance(event, yaml.AliasEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if count > _EVENTS_MAX or aliases > _ALIASES_MAX:
            raise Refused(Problem("the file holds too many things", line))
        if depth > _DEPTH_MAX:
            raise Refused(Problem(f"the file is nested deeper than {_DEPTH_MAX} levels", line))
        if documents > 1:
            raise Refused(Problem("the file holds more than one document", line))
        tag = getattr(event, "tag", None)
        if tag and tag not in _TAGS and tag != "!":
            raise Refused(Problem(f"the tag “{tag[:60]}” is not taken", line))
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > _SCALAR_MAX:
            raise Refused(Problem("one value is too long", line))


_STEPS: dict[type, int] = {
    yaml.MappingStartEvent: 1,
    yaml.SequenceStartEvent: 1,
    yaml.MappingEndEvent: -1,
    yaml.SequenceEndEvent: -1,
}


def _expanded(node: yaml.Node, known: dict[int, int], above: set[int]) -> int:
    """How many values this is once every alias is written out; each node is counted only once."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in above:
        raise Refused(Problem("an alias refers to what it stands in", node.start_mark.line + 1))
    if id(node) not in known:
        above.add(id(node))
        known[id(node)] = 1 + sum(_expanded(child, known, above) for child in _children(node))
        above.discard(id(node))
    if known[id(node)] > _EXPANDED_MAX:
        raise Refused(Problem("its aliases would expand beyond all bounds", node.start_mark.line + 1))
    return known[id(node)]


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _walk(node: yaml.Node, path: Path, lines: dict[Path, int]) -> None:
    """Fill ``lines``; refuses keys that are no text and keys that stand twice. Everything is set to
    block style: in flow style an empty value could not be written back as one."""
    if isinstance(node, yaml.CollectionNode):
        node.flow_style = False
    if isinstance(node, yaml.SequenceNode):
        for number, child in enumerate(node.value):
            place = (*path, str(number))
            lines[place] = child.start_mark.line + 1
            _walk(child, place, lines)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise Refused(Problem("a key must be text", line))
        if key.value in seen:
            raise Refused(Problem(f"the key “{key.value[:60]}” stands here twice", line))
        seen.add(key.value)
        place = (*path, key.value)
        lines.setdefault(place, line)
        _walk(value, path if key.value == _MERGE else place, lines)


def _pairs(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node, int]]:
    """Keys and values of a mapping, with what “<<” merges into it."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        if key.value == _MERGE:
            for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                yield from _pairs(merged)
        else:
            yield key.value, value, key.start_mark.line + 1


def _child(node: yaml.Node | None, name: str) -> yaml.Node | None:
    return next((value for key, value, _ in _pairs(node) if key == name), None)


def _file_keys(top: yaml.MappingNode) -> Iterator[Problem]:
    """Everything by which the machine of the console itself would be read."""
    for key, _, line in _pairs(top):
        if key in _TOP_FILES:
            yield Problem(tell(f"“{key}” is not taken: {_TOP_FILES[key]}"), line, rule=f"compose_{key}")
    for service, body, _ in _pairs(_child(top, "services")):
        for key, value, line in _pairs(body):
            if key in _SERVICE_FILES:
                reason = tell(f"“{key}” is not taken: {_SERVICE_FILES[key]}")
                yield Problem(reason, line, service, f"compose_{key}")
            if key == "extends" and _child(value, "file") is not None:
                reason = tell("“extends” takes services of this file only: files of the server are not read")
                yield Problem(reason, line, service, "compose_extends")
    for kind in ("configs", "secrets"):
        for name, body, line in _pairs(_child(top, kind)):
            if _child(body, "file") is not None:
                reason = tell(
                    f"“{name}” comes from a file: files of the server are not read; use “environment”"
                )
                yield Problem(reason, line, rule=f"compose_{kind}")


def _wide_ranges(top: yaml.MappingNode) -> Iterator[Problem]:
    """Compose writes a range out, port by port, and takes minutes for many; the engine starts a program for
    each."""
    for service, body, _ in _pairs(_child(top, "services")):
        for _, ports, line in (pair for pair in _pairs(body) if pair[0] in ("ports", "expose")):
            for text in _scalars(ports):
                if any(int(last) - int(first) >= _RANGE_MAX for first, last in _RANGE.findall(text)):
                    yield Problem(f"a range of more than {_RANGE_MAX} ports is not taken", line, service)


def _scalars(node: yaml.Node) -> Iterator[str]:
    if isinstance(node, yaml.ScalarNode):
        yield str(node.value)
    for child in _children(node):
        yield from _scalars(child)


def env_text(env: dict[str, str]) -> str:
    """The variables as a file that Compose reads back exactly."""
    return "".join(f'{name}="{_quoted(value)}"\n' for name, value in env.items())


_ESCAPES = (("\\", "\\\\"), ('"', '\\"'), ("$", "\\$"), ("\n", "\\n"), ("\r", "\\r"))


def _quoted(value: str) -> str:
    for mark, written in _ESCAPES:
        value = value.replace(mark, written)
    return value
