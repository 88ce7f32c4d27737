"""The rules of the house, enforced: who may import whom, how long things may be, nothing pretended."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import AddField, AlterModelTable, RenameField, RenameModel

ROOT = Path(__file__).resolve().parent.parent
APPS = ("compute", "dockerapp", "kvm")
# Lower levels know nothing of higher ones.
LEVELS = {
    "compute.errors": 0,
    "compute.states": 0,
    "compute.permissions": 0,
    "compute.backends": 0,
    "compute.backupstore": 0,
    "compute.actor": 0,
    "compute.addresses": 0,
    "compute.places": 0,
    "compute.request_id": 0,
    "compute.jsontext": 0,
    "compute.sealing": 0,
    "compute.certificates": 0,
    "compute.usage": 0,
    "compute.stages": 0,
    "compute.topics": 0,
    "compute.rows": 1,
    "compute.lane": 2,
    "compute.measures": 1,
    "compute.models": 1,
    "compute.migrations": 1,
    "compute.selectors": 2,
    "compute.events": 2,
    "compute.broadcast": 2,
    "compute.live": 2,
    "compute.audit": 2,
    "compute.audit_guards": 0,
    "compute.audit_net": 2,
    "compute.audit_chain": 2,
    "compute.directories": 2,
    "compute.execution": 3,
    "compute.tasks": 4,
    "compute.services": 5,
    "compute.watcher": 6,
    "compute.work_tasks": 6,
    "compute.api": 6,
    "compute.views": 6,
    "compute.forms": 6,
    "compute.limit_forms": 6,
    "compute.placeholders": 0,
    "compute.node_forms": 6,
    "compute.complaints": 6,
    "compute.error_page": 6,
    "compute.thing_forms": 6,
    "compute.template_forms": 6,
    "compute.schedule_forms": 6,
    "compute.alert_forms": 6,
    "compute.adoption_forms": 6,
    "compute.streams": 6,
    "compute.loghub": 6,
    "compute.attachhub": 6,
    "compute.sessions": 6,
    "compute.bells": 6,
    "compute.statshub": 6,
    "compute.facthub": 6,
    "compute.sockets": 6,
    "compute.sign_in_tasks": 6,
    "compute.consumers": 6,
    "compute.routing": 6,
    "compute.admin": 6,
    "compute.admin_site": 6,
    "compute.admin_words": 6,
    "compute.urls": 6,
    "compute.translations": 6,
    "compute.wording": 1,
    "compute.tell": 0,
    "compute.told": 1,
    "compute.differences": 1,
    "compute.menu": 6,
    "compute.parts": 6,
    "compute.templatetags": 6,
    "compute.management": 6,
    "compute.apps": 6,
}
FUNCTION_LINES, FILE_LINES = 60, 600
# Numbers of migrations; what came before was not written for it.
_ADDITIVE_SINCE = {"compute": "0030", "dockerapp": "0004", "kvm": "0003"}
FRAMEWORKS = {"django", "rest_framework", "channels", "celery"}


def _files(*folders: str) -> list[Path]:
    return sorted(
        path for folder in folders for path in (ROOT / folder).rglob("*.py") if "migrations" not in path.parts
    )


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imports(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node


def _level(module: str) -> int | None:
    found = [level for name, level in LEVELS.items() if module == name or module.startswith(f"{name}.")]
    return max(found) if found else None


SOURCES = _files(*APPS, "libgo_site")


@pytest.mark.parametrize("path", _files("compute"), ids=_module)
def test_compute_imports_only_its_own_level_or_lower(path: Path) -> None:
    own = _level(_module(path))
    assert own is not None or _module(path) == "compute", f"{_module(path)} has no level: add it to LEVELS"
    for name, _ in _imports(ast.parse(path.read_text())):
        assert not name.startswith(("dockerapp", "kvm")), f"compute reaches {name} only through the registry"
        assert not name.startswith("libgo_site"), f"nobody imports the wiring: {name}"
        level = _level(name)
        assert level is None or own is None or level <= own, (
            f"{_module(path)} (level {own}) imports {name} ({level})"
        )


@pytest.mark.parametrize("path", SOURCES, ids=_module)
def test_imports_stand_at_the_top(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for function in [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]:
        inner = [n for n in ast.walk(function) if isinstance(n, (ast.Import, ast.ImportFrom))]
        assert not inner, f"{path.name}: {function.name} imports inside its body"


def test_the_backends_do_not_know_each_other() -> None:
    for app, other in (("dockerapp", "kvm"), ("kvm", "dockerapp")):
        for path in _files(app):
            assert not any(name.startswith(other) for name, _ in _imports(ast.parse(path.read_text()))), path


def test_engines_know_no_framework_and_vendor_libraries_stay_in_engines() -> None:
    vendors = {"docker": "dockerapp/engine", "aiodocker": "dockerapp/engine", "libvirt": "kvm/engine"}
    for path in SOURCES:
        place = str(path.relative_to(ROOT))
        for name, _ in _imports(ast.parse(path.read_text())):
            top = name.split(".")[0]
            if "/engine/" in place:
                assert top not in FRAMEWORKS, f"{place} imports {name}"
            if top in vendors:
                assert place.startswith(vendors[top]), f"{place} imports {name}"


def test_only_backends_and_handlers_use_an_engine() -> None:
    for app in ("dockerapp", "kvm"):
        for path in _files(app):
            if path.parent.name in ("engine", "handlers") or path.name in ("backend.py", "handlers.py"):
                continue
            names = [name for name, _ in _imports(ast.parse(path.read_text()))]
            assert not any(name.startswith(f"{app}.engine") for name in names), path


def test_pages_and_api_do_not_know_each_other_but_for_the_error_table() -> None:
    shared = ("compute.api.exception_handler",)
    for path in _files("compute/views"):
        names = [name for name, _ in _imports(ast.parse(path.read_text())) if name.startswith("compute.api")]
        assert all(name.startswith(shared) for name in names), f"{path}: {names}"
    for path in _files("compute/api"):
        assert not any(n.startswith("compute.views") for n, _ in _imports(ast.parse(path.read_text()))), path


def test_only_events_tells_the_screens() -> None:
    for path in SOURCES:
        if path.name not in ("events.py", "broadcast.py"):
            assert "messages_send" not in path.read_text(), path


def test_no_signals_for_domain_logic() -> None:
    for path in _files(*APPS):
        assert "django.db.models.signals" not in path.read_text(), path


@pytest.mark.parametrize("path", [*SOURCES, *_files("tests")], ids=_module)
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= FILE_LINES, f"{path.name} is too long: split it"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= FUNCTION_LINES, f"{path.name}: {node.name} has {length} lines"


def test_migrations_leave_the_tables_usable_by_the_release_before() -> None:
    """While a site is upgraded its older processes go on: docs/architecture.md, “Upgrades”. They insert rows
    without columns they do not know, and ask for every column and table they know by its name."""
    found = []
    for key, migration in MigrationLoader(None).disk_migrations.items():
        if key[0] not in APPS or key[1][:4] < _ADDITIVE_SINCE[key[0]]:
            continue
        for operation in migration.operations:
            if isinstance(operation, (RenameField, RenameModel, AlterModelTable)):
                found.append(f"{key}: {operation.describe()}")
            if isinstance(operation, AddField):
                field = operation.field
                if not (field.null or field.has_db_default() or field.many_to_many):
                    found.append(f"{key}: {operation.describe()}: give it a db_default, or let it be null")
    assert found == []


def test_nothing_is_left_for_later() -> None:
    marks = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error"]
    for path in [*SOURCES, *_files("tests")]:
        text = path.read_text()
        assert not [mark for mark in marks if mark in text], path


def test_no_conflict_was_left_in_a_file() -> None:
    """A script with the marks of a merge in it runs nowhere, and only a browser would tell."""
    found = subprocess.run(
        ["git", "grep", "-nE", "^(<{7} |>{7} )"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.stdout == ""


def test_broad_excepts_are_counted() -> None:
    """Each is the outermost frame of a thread or of foreign code, and says so."""
    broad = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler) and (
                node.type is None or getattr(node.type, "id", "") in ("Exception", "BaseException")
            ):
                broad.append(f"{path.name}:{node.lineno}")
    assert len(broad) <= 4, broad


def test_types_hold() -> None:
    """mypy, strict, over the sources."""
    command = [sys.executable, "-m", "mypy", "--no-error-summary", *APPS, "libgo_site"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_code_is_clean() -> None:
    """ruff, rules and format."""
    for words in (["check", "."], ["format", "--check", "."]):
        command = [sys.executable, "-m", "ruff", *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:]


def test_no_test_is_skipped() -> None:
    words = ["pytest.mark." + "skip", "pytest." + "skip(", "x" + "fail", "import" + "orskip"]
    for path in _files("tests"):
        text = path.read_text()
        assert not [word for word in words if word in text], path
