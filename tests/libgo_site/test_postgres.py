"""The other database: what is written for both is run on a PostgreSQL server of the tests' own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.live import ROOT
from tests.postgres_server import PostgresServer

# Where the database decides: constraints, locks, triggers, time, JSON, and text that only one of them takes.
_CHOSEN = (
    "compute/test_races.py",
    "compute/test_operations.py",
    "compute/test_mirror.py",
    "compute/test_palette.py",
    "compute/test_rows.py",
    "compute/test_prepared.py",
    "compute/limits/test_limits.py",
    "compute/auditing/test_chain.py",
    "compute/usage",
    "compute/work/test_schedules.py",
    "compute/api/test_instances.py",
)
# The last one that was alone with rows before the next ones came.
_BEFORE = "0006"
_THERE_AND_BACK = f"""
import django; django.setup()
from django.core.management import call_command
from django.db import connection

def count():
    with connection.cursor() as cursor:
        found = []
        for table in ("compute_node", "compute_auditevent"):
            cursor.execute("SELECT count(*) FROM " + table)
            found += cursor.fetchone()
        return found

call_command("prepare")
before = count()
call_command("migrate", "compute", "{_BEFORE}", verbosity=0)
assert count() == before and min(before) >= 1, (before, count())
call_command("prepare")
assert count()[0] == before[0] and count()[1] >= before[1], (before, count())
call_command("audit_verify")
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    folder = Path(tempfile.mkdtemp(prefix="libgo-t-"))
    # The server is another user's process.
    folder.chmod(0o755)
    server = PostgresServer(folder / "postgres")
    try:
        yield server.start()
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


def _run(server: PostgresServer, *words: str) -> str:
    """Python with these words, in this checkout and on that server."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_XDIST")}
    environ |= {"DATABASE_URL": server.url, "DJANGO_SETTINGS_MODULE": "libgo_site.settings.test"}
    environ.pop("LIBGO_VAR", None)
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done.stdout


def test_what_the_database_decides_holds_there_too(postgres: PostgresServer) -> None:
    chosen = [str(Path("tests") / path) for path in _CHOSEN]
    said = _run(postgres, "-m", "pytest", "-p", "no:xdist", "--timeout", "60", *chosen)
    assert " passed" in said or "[100%]" in said, said[-1000:]


def test_rows_of_an_older_release_are_brought_along(postgres: PostgresServer) -> None:
    """Back to what the first release had, with rows in it, and forth: guards too."""
    assert "holds" in _run(postgres, "-c", _THERE_AND_BACK)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        for statement in ("UPDATE compute_auditevent SET username = 'x'", "TRUNCATE compute_auditevent"):
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
                connection.execute(statement)
