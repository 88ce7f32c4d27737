"""Hide the secrets of a cloud-init text, and put them back where a person left them as they were.

Each secret is shown as ``<hidden:N>``, which YAML and shells read as a plain word, so a masked text can
still be checked, edited and sent back.
"""

from __future__ import annotations

import re
from typing import Any

from compute.errors import InvalidInput

HIDDEN = re.compile(r"<hidden:(\d{1,4})>")
# Bounded, as all that repeats here: texts are as long and as odd as people send them.
_WORD = r"(?:pass|secret|token|api_?key|private|credential)[\w.-]{0,40}"
_WORDS = rf"[\w.-]{{0,40}}{_WORD}"
_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----")
_PLAIN = set("true false yes no on off null ~ | |- |+ > >- >+ { [".split()) | {""}
_PATTERNS = (
    # password: correct horse   (a line of YAML, to its end)
    re.compile(rf"^[ \t-]*[\"']?{_WORDS}[\"']?[ \t]*:[ \t]+(?P<secret>[^\n#{{\[]+)", re.I | re.M),
    # {passwd: x}, "passwd": "x", TOKEN=x
    re.compile(rf"{_WORD}[\"']?[ \t]*[:=][ \t]*(?P<secret>\"[^\"\n]*\"|'[^'\n]*'|[^\s,}}\]\"';|&]+)", re.I),
    re.compile(r"(?P<secret>\$(?:1|2[abxy]|5|6|7|y|gy)\$[^\s\"',}\]]+)"),
    re.compile(r"://[^\s/:@]*:(?P<secret>[^\s/@]+)@"),
    re.compile(r"echo[ \t]+(?P<secret>[^|\n]{1,500})\|[ \t]*(?:sudo )?chpasswd"),
)
# list: |  and  password: |  with the deeper lines under them, and entries of chpasswd's list.
_BLOCK = re.compile(
    rf"^(?P<indent>[ \t]*)(?:- )?[\"']?(?:{_WORDS}|chpasswd)[\"']?[ \t]*:[ \t]*(?P<rest>\S*)[ \t]*$", re.I
)
_ENTRY = re.compile(r"^[ \t]*(?:- )?[\"']?[\w.-]+:(?P<secret>[^\s\"'][^\n\"']*)")


def hide(text: str) -> tuple[str, list[str]]:
    """The text as it may be shown, and what was taken out of it, in order."""
    shown, secrets, last = [], [], 0
    for start, end in _spans(text):
        secrets.append(text[start:end])
        shown.append(f"{text[last:start]}<hidden:{len(secrets)}>")
        last = end
    return "".join([*shown, text[last:]]), secrets


def reveal(field: str, value: Any, secrets: list[str]) -> Any:
    """The value with each ``<hidden:N>`` in any of its texts replaced. Raises ``InvalidInput`` for one
    that does not exist."""
    if isinstance(value, dict):
        return {key: reveal(field, item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [reveal(field, item, secrets) for item in value]
    if not isinstance(value, str):
        return value

    def put_back(found: re.Match[str]) -> str:
        number = int(found[1])
        if not 0 < number <= len(secrets):
            line = value.count("\n", 0, found.start()) + 1
            raise InvalidInput.field(field, f"line {line}: {found[0]} stands for nothing; write the secret.")
        return secrets[number - 1]

    return HIDDEN.sub(put_back, value)


def _spans(text: str) -> list[tuple[int, int]]:
    found = [
        _trimmed(text, *match.span("secret")) for pattern in _PATTERNS for match in pattern.finditer(text)
    ]
    found += _block_spans(text) + _key_spans(text)
    merged: list[tuple[int, int]] = []
    for start, end in sorted(span for span in found if span[0] < span[1]):
        if text[start:end].strip().lower() in _PLAIN or HIDDEN.fullmatch(text[start:end]):
            continue
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Without the space and the quotes around it, which keep their place."""
    while start < end and text[start] in " \t\n\"'":
        start += 1
    while start < end and text[end - 1] in " \t\n\"'":
        end -= 1
    return start, end


def _key_spans(text: str) -> list[tuple[int, int]]:
    """What is between the first and the last line of private keys."""
    found, at = [], 0
    while match := _KEY.search(text, at):
        end = text.find("-----END", match.end())
        at = end if end >= 0 else len(text)
        found.append(_trimmed(text, match.end(), at))
    return found


def _block_spans(text: str) -> list[tuple[int, int]]:
    """The lines below a secret-looking key that hold it: a block of text, or names with passwords."""
    found, at, inside, is_text = [], 0, -1, False
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip())
        if inside >= 0 and line.strip() and indent <= inside:
            inside = -1
        match = _BLOCK.match(line)
        if inside >= 0 and line.strip():
            entry = _ENTRY.match(line)
            if entry is not None and not is_text:
                found.append(_trimmed(text, at + entry.start("secret"), at + entry.end("secret")))
            elif is_text:
                found.append((at + indent, at + len(line.rstrip())))
        elif match is not None:
            inside = len(match["indent"])
            is_text = match["rest"][:1] in ("|", ">")
        at += len(line) + 1
    return found
