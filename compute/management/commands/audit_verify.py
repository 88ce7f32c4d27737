"""``manage.py audit_verify``: does the chain over the audit hold, and where does it break first?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from compute.audit_chain import anchor_make, audit_seal, audit_verify


class Command(BaseCommand):
    help = "Verify the audit's chain of hashes; with an anchor also that it was not rewritten as a whole."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--anchor", type=Path, help="file with an anchor that was written earlier")
        parser.add_argument("--write-anchor", type=Path, help="write the head of the chain to this file")

    def handle(self, *args: Any, **options: Any) -> None:
        audit_seal(everything=True)
        verdict = audit_verify(_anchor(options["anchor"]))
        for warning in verdict.warnings:
            self.stderr.write(f"warning: {warning}")
        if not verdict.holds:
            raise CommandError(f"The audit is broken at {verdict.broken_seq}: {verdict.broken}")
        cut = f", {verdict.cut_rows} cut off before by the retention rule" if verdict.cut_rows else ""
        self.stdout.write(
            f"The audit holds: {verdict.rows} rows{cut}; the last is {verdict.last_seq} {verdict.last_hash}"
        )
        if options["write_anchor"]:
            options["write_anchor"].write_text(json.dumps(anchor_make()) + "\n")


def _anchor(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        found = json.loads(path.read_text())
        return {"seq": int(found["seq"]), "hash": str(found["hash"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{path} is no anchor: {error}") from error
