"""Triggers that make the audit append-only, in the words of each database.

A row may go only when a tombstone covers its place in the chain; nothing may ever be changed. Laid by
a migration, and again by every ``manage.py prepare``: SQLite drops triggers when a later migration
rebuilds a table. A migration that changes one of these tables lifts them first and lays them last.
"""

from __future__ import annotations

from typing import Any

TABLES = ("compute_auditevent", "compute_auditseal", "compute_audittombstone")
_CUT = "(SELECT COALESCE(MAX(up_to_seq), 0) FROM compute_audittombstone)"
# Made of constants alone.
_COVERED = {
    "compute_auditevent": "EXISTS (SELECT 1 FROM compute_auditseal s WHERE s.audit_id = OLD.id "  # nosec B608
    f"AND s.seq <= {_CUT})",
    "compute_auditseal": f"OLD.seq <= {_CUT}",
    "compute_audittombstone": "1 = 0",
}
_TEXT = "the audit is append-only"


def guards_lay(connection: Any) -> None:
    """Lay what is missing. ``connection`` is a Django database connection (SQLite or PostgreSQL)."""
    lay = _postgres if connection.vendor == "postgresql" else _sqlite
    with connection.cursor() as cursor:
        for table in TABLES:
            for statement in lay(table):
                cursor.execute(statement)


def guards_lift(connection: Any) -> None:
    """Take them away: for the migration backwards, and for tests that empty their database."""
    with connection.cursor() as cursor:
        for table in TABLES:
            for name in (f"{table}_no_update", f"{table}_no_delete", f"{table}_no_truncate"):
                on = f" ON {table}" if connection.vendor == "postgresql" else ""
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}{on}")


def guards_missing(connection: Any) -> list[str]:
    """Names of triggers that are not there."""
    names = {f"{table}_no_{word}" for table in TABLES for word in ("update", "delete")}
    query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    if connection.vendor == "postgresql":
        names |= {f"{table}_no_truncate" for table in TABLES}
        query = "SELECT tgname FROM pg_trigger WHERE tgenabled <> 'D'"
    with connection.cursor() as cursor:
        cursor.execute(query)
        return sorted(names - {row[0] for row in cursor.fetchall()})


def _sqlite(table: str) -> list[str]:
    raised = f"BEGIN SELECT RAISE(ABORT, '{_TEXT}'); END"
    return [
        f"CREATE TRIGGER IF NOT EXISTS {table}_no_update BEFORE UPDATE ON {table} {raised}",
        f"CREATE TRIGGER IF NOT EXISTS {table}_no_delete BEFORE DELETE ON {table} "
        f"WHEN NOT ({_COVERED[table]}) {raised}",
    ]


def _postgres(table: str) -> list[str]:
    refuse = (
        "CREATE OR REPLACE FUNCTION compute_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_TEXT}'; END $$"
    )
    check = (
        f"CREATE OR REPLACE FUNCTION {table}_check() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF NOT ({_COVERED[table]}) THEN RAISE EXCEPTION '{_TEXT}'; END IF; "
        "RETURN OLD; END $$"
    )
    made = []
    for word, each, function in (
        ("update", "ROW", "compute_audit_refuse"),
        ("delete", "ROW", f"{table}_check"),
        ("truncate", "STATEMENT", "compute_audit_refuse"),
    ):
        name = f"{table}_no_{word}"
        made += [
            f"DROP TRIGGER IF EXISTS {name} ON {table}",
            f"CREATE TRIGGER {name} BEFORE {word.upper()} ON {table} "
            f"FOR EACH {each} EXECUTE FUNCTION {function}()",
        ]
    return [refuse, check, *made]
