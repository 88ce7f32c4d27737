"""``manage.py access_matrix``: write ``docs/permissions.md`` from the matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from compute.permissions import ACTIONS, CELLS, Reach, is_allowed

_HEAD = """# Who may do what

Written by `./libgo manage access_matrix` from `compute/permissions.py`; do not edit it by hand. API, pages,
sockets and the Django admin all ask this one table, at every use. A test asks every route of the URL table as
everybody below, on things of the own project and of a foreign one.

- A **role** is held in a project. What belongs to a project in which one holds none is *not found*, whatever
  one asks; it is never *denied*.
- What belongs to **no project** is the host's: every account looks at it, site administrators change it.
- A **personal token** reaches no further than its scope: the right of the action must be among its words.
- What is as good as root on a host is refused by *policy*, whatever the role; see `architecture.md`.
"""


class Command(BaseCommand):
    help = "Write docs/permissions.md from the matrix of compute/permissions.py."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--stdout", action="store_true", help="print it, change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        text = matrix_text()
        if options["stdout"]:
            self.stdout.write(text)
            return
        path = Path(settings.BASE_DIR) / "docs" / "permissions.md"
        path.write_text(text)
        self.stdout.write(f"{path}: {len(ACTIONS)} actions")


def matrix_text() -> str:
    """The whole file."""
    parts = [
        _HEAD,
        _part(
            "Things of the own project",
            "Somebody with the role in the project of the thing.",
            [name for name, rule in ACTIONS.items() if rule.reach is Reach.PROJECT],
        ),
        _part(
            "Things of a foreign project, and of the host",
            "The same rights for everybody: foreign things are not found, the host's are looked at.",
            [],
        ),
        _part(
            "What is the site's, one's own, or open",
            "Asked of the account, not of a project.",
            [name for name, rule in ACTIONS.items() if rule.reach is not Reach.PROJECT],
        ),
    ]
    return "\n".join(parts)


def _part(title: str, text: str, names: list[str]) -> str:
    lines = [f"## {title}", text, ""]
    if not names:
        lines += _foreign()
    else:
        lines += ["| action | right | " + " | ".join(cell.name for cell in CELLS) + " |"]
        lines += ["|---|---|" + ":-:|" * len(CELLS)]
        for name in names:
            marks = ["yes" if is_allowed(cell, name, is_foreign=False) else "–" for cell in CELLS]
            rule = ACTIONS[name]
            right = rule.permission if rule.reach in (Reach.PROJECT, Reach.SITE) else rule.reach
            lines.append(f"| `{name}` | {right} | " + " | ".join(marks) + " |")
    return "\n".join(lines) + "\n"


def _foreign() -> list[str]:
    """By right instead of by action, since it is the same for all of one right."""
    rules = {rule.permission: name for name, rule in ACTIONS.items() if rule.reach is Reach.PROJECT}
    lines = ["| right | whose | " + " | ".join(cell.name for cell in CELLS) + " |"]
    lines += ["|---|---|" + ":-:|" * len(CELLS)]
    for permission, name in sorted(rules.items()):
        for whose, hosts in (("foreign project", False), ("the host's", True)):
            marks = [is_allowed(cell, name, is_foreign=True, is_hosts=hosts) for cell in CELLS]
            words = " | ".join("yes" if mark else "–" for mark in marks)
            lines.append(f"| {permission} | {whose} | {words} |")
    return lines
