"""From asking to the end, over the fake engine: what is made, restored, damaged, broken off and lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from compute import sealing
from compute.actor import Actor
from compute.backends.fake import FakeBackend, FakeEngine
from compute.backends.registry import backend_class
from compute.backupstore.local import LocalStore
from compute.errors import (
    BackendUnavailable,
    InvalidInput,
    InvalidState,
    NotFound,
    PermissionDenied,
    PolicyDenied,
    ResourceLimitExceeded,
)
from compute.execution import runner
from compute.execution.backups import any_node
from compute.models import AuditEvent, Backup, BackupTarget, Instance, Node, Operation, Project
from compute.sealing import SealedOtherwise, seal, unseal
from compute.selectors.backups import backup_dict
from compute.services import backups
from compute.services.backup_targets import target_delete, target_test, target_update
from compute.services.operations import operation_cancel

pytestmark = pytest.mark.django_db


@pytest.fixture
def ran(worker_inline: None, django_capture_on_commit_callbacks: Any) -> Callable[..., Operation]:
    """``ran(service, ...)``: asked for, carried out, and read again."""

    def _ran(service: Callable[..., Operation], *words: Any) -> Operation:
        with django_capture_on_commit_callbacks(execute=True):
            operation = service(*words)
        return Operation.objects.get(pk=operation.pk)

    return _ran


@pytest.fixture
def web(make: Callable[..., Instance], engine: FakeEngine) -> Instance:
    row = make("web", labels={"tier": "front"})
    engine.content[row.engine_id] = [b"one", b"two" * 1000]
    return row


def _files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_backed_up_verified_restored_beside_it_and_deleted(
    operator: Actor, web: Instance, target: BackupTarget, ran: Callable[..., Operation], engine: FakeEngine,
    root: Path,
) -> None:  # fmt: skip
    done = ran(backups.backup_create, operator, web.pk, {"target": "disk", "description": "before"})
    assert done.state == "succeeded", done.error_message
    row = Backup.objects.get()
    assert (row.state, row.size_bytes, row.username) == ("ready", 3003, "oscar")
    assert len(_files(root)) == 2 and "demo" not in row.definition
    assert ran(backups.backup_verify, operator, row.pk).result["size_bytes"] == 3003
    assert Backup.objects.get().verified_at is not None
    engine.remove(web.engine_id)
    done = ran(backups.backup_restore, operator, row.pk, {"name": "web-again"})
    assert done.state == "succeeded", done.error_message
    again = Instance.objects.get(name="web-again")
    assert b"".join(engine.content[again.engine_id]) == b"one" + b"two" * 1000
    assert (again.labels, again.project_id) == ({"tier": "front"}, web.project_id)
    assert ran(backups.backup_delete, operator, row.pk).state == "succeeded"
    assert _files(root) == [] and not Backup.objects.exists()
    assert {"instance.backup", "backup.verify", "backup.delete"} <= set(
        AuditEvent.objects.values_list("action", flat=True)
    )


def test_restored_where_the_networks_have_other_names(
    operator: Actor, web: Instance, target: BackupTarget, ran: Callable[..., Operation]
) -> None:
    ran(backups.backup_create, operator, web.pk, {"target": "disk"})
    row = Backup.objects.get()
    kept = unseal(row.definition)
    kept["definition"]["config"]["networks"] = [{"network": "front"}]
    Backup.objects.update(definition=seal(kept))

    def networks(name: str, **more: Any) -> Any:
        done = ran(backups.backup_restore, operator, row.pk, {"name": name, **more})
        assert done.state == "succeeded", done.error_message
        return Instance.objects.get(name=name).config.get("networks")

    assert networks("as-it-was") == [{"network": "front"}]
    assert networks("said-so", networks=None) == [{"network": "front"}]
    assert networks("elsewhere", networks=["back"]) == ["back"]
    assert networks("alone", networks=[]) == []


@pytest.mark.parametrize("backend", ["docker", "kvm"])
@pytest.mark.parametrize("had", [{"network_mode": "front"}, {"network": "front"}, {"networks": ["front"]}])
def test_the_networks_of_a_restore_are_those_of_a_create(backend: str, had: dict[str, Any]) -> None:
    bare = backups.config_without_networks({"image": "demo", **had})
    assert bare == {"image": "demo"}
    taken = backend_class(backend).config_validate(
        {**bare, "networks": ["back"]}, allow_root_equivalent=False
    )
    assert "back" in str(taken["networks"]) and "front" not in str(taken)


def test_a_flipped_byte_is_told_and_a_damaged_backup_is_not_restored(
    operator: Actor, web: Instance, target: BackupTarget, ran: Callable[..., Operation], root: Path
) -> None:
    ran(backups.backup_create, operator, web.pk, {"target": "disk"})
    row = Backup.objects.get()
    part = next(path for path in _files(root) if "disk.img" in path.name)
    data = bytearray(part.read_bytes())
    data[60] ^= 1
    part.write_bytes(data)
    done = ran(backups.backup_restore, operator, row.pk, {"name": "second"})
    assert (done.state, done.error_code) == ("failed", "BACKUP_DAMAGED")
    assert not Instance.objects.filter(name="second").exists()
    done = ran(backups.backup_verify, operator, row.pk)
    assert (done.state, done.error_code) == ("failed", "BACKUP_DAMAGED")
    row.refresh_from_db()
    assert row.state == "damaged" and "disk.img" in row.problem
    with pytest.raises(InvalidState):
        backups.backup_restore(operator, row.pk, {"name": "second"})


def test_a_restore_is_held_to_policy_limits_and_borders(
    admin: Actor, operator: Actor, viewer: Actor, stranger: Actor, make: Callable[..., Instance],
    target: BackupTarget, ran: Callable[..., Operation], project: Project,
) -> None:  # fmt: skip
    strong = make("strong", config={"image": "demo", "privileged": True})
    ran(backups.backup_create, operator, strong.pk, {"target": "disk"})
    row = Backup.objects.get()
    with pytest.raises(PolicyDenied):
        backups.backup_restore(operator, row.pk, {"name": "mine"})
    for who, error in ((viewer, PermissionDenied), (stranger, NotFound)):
        for service in (backups.backup_delete, backups.backup_verify):
            with pytest.raises(error):
                service(who, row.pk)
        with pytest.raises(error):
            backups.backup_restore(who, row.pk, {"name": "mine"})
    with pytest.raises(PermissionDenied):
        backups.backup_create(viewer, strong.pk, {"target": "disk"})
    elsewhere = Project.objects.create(name="elsewhere")
    with pytest.raises(NotFound):
        backups.backup_restore(operator, row.pk, {"name": "mine", "project": "elsewhere"})
    assert ran(backups.backup_restore, admin, row.pk, {"name": "ours", "project": "elsewhere"}).state == (
        "succeeded"
    )
    assert Instance.objects.get(name="ours").project == elsewhere
    Project.objects.filter(pk=project.pk).update(max_instances=1)
    with pytest.raises(ResourceLimitExceeded):
        backups.backup_restore(admin, row.pk, {"name": "more"})


def test_one_that_fails_or_is_cancelled_leaves_nothing(
    operator: Actor, web: Instance, target: BackupTarget, ran: Callable[..., Operation], root: Path,
    monkeypatch: pytest.MonkeyPatch, bells: list[str],
) -> None:  # fmt: skip
    def broken(self: FakeBackend, engine_id: str, wanted: Any, sink: Any, report: Any) -> dict[str, Any]:
        sink.part("disk.img", [b"half"])
        raise BackendUnavailable("The engine went away half-way.")

    waiting = backups.backup_create(operator, web.pk, {"target": "disk"})
    assert Backup.objects.get().state == "creating"
    operation_cancel(operator, str(waiting.pk))
    runner.operation_execute(str(waiting.pk))
    assert Operation.objects.get(pk=waiting.pk).state == "cancelled" and not Backup.objects.exists()
    monkeypatch.setattr(FakeBackend, "instance_backup", broken)
    failing = backups.backup_create(operator, web.pk, {"target": "disk"})
    runner.operation_execute(str(failing.pk))
    assert Operation.objects.get(pk=failing.pk).state == "failed"
    assert not Backup.objects.exists() and _files(root) == []


def test_a_lost_worker_is_swept_and_a_target_that_is_away_is_tidied_later(
    operator: Actor, web: Instance, target: BackupTarget, root: Path, monkeypatch: pytest.MonkeyPatch,
    bells: list[str],
) -> None:  # fmt: skip
    class Killed(BaseException):
        """As a kill: nothing behind it runs."""

    def killed(self: FakeBackend, engine_id: str, wanted: Any, sink: Any, report: Any) -> dict[str, Any]:
        sink.part("disk.img", [b"half"])
        raise Killed

    monkeypatch.setattr(FakeBackend, "instance_backup", killed)
    operation = backups.backup_create(operator, web.pk, {"target": "disk"})
    with pytest.raises(Killed):
        runner.operation_execute(str(operation.pk))
    assert len(_files(root)) == 1
    Operation.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    (root / "site").rename(root / "away")
    runner.operation_recover(str(operation.pk))
    operation.refresh_from_db()
    assert (operation.state, operation.undo_pending) == ("interrupted", True)
    with pytest.raises(InvalidState, match="broken off"):
        backups.backup_delete(operator, Backup.objects.get().pk)
    (root / "away").rename(root / "site")
    runner.undo_finish(str(operation.pk))
    operation.refresh_from_db()
    assert not operation.undo_pending and _files(root) == [] and not Backup.objects.exists()


def test_a_worker_lost_after_the_manifest_leaves_a_backup(
    operator: Actor, web: Instance, target: BackupTarget, monkeypatch: pytest.MonkeyPatch, bells: list[str]
) -> None:
    class Killed(BaseException):
        """As a kill: nothing behind it runs."""

    def killed(*words: Any) -> None:
        raise Killed

    operation = backups.backup_create(operator, web.pk, {"target": "disk"})
    monkeypatch.setattr(runner, "_close", killed)
    with pytest.raises(Killed):
        runner.operation_execute(str(operation.pk))
    monkeypatch.undo()
    Operation.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    runner.operation_recover(str(operation.pk))
    operation.refresh_from_db()
    assert operation.state == "succeeded" and Backup.objects.get().state == "ready"


def test_targets_are_for_whom_they_are_and_stay_while_they_hold_backups(
    admin: Actor, operator: Actor, web: Instance, target: BackupTarget, ran: Callable[..., Operation],
    root: Path,
) -> None:  # fmt: skip
    assert target_test(admin, "disk") == {"ok": True, "message": "It was written to, read, and tidied."}
    assert _files(root) == []
    ran(backups.backup_create, operator, web.pk, {"target": "disk"})
    for change in (lambda: target_delete(admin, "disk"), lambda: _moved(admin, root)):
        with pytest.raises(InvalidState):
            change()
    Project.objects.create(name="elsewhere")
    target_update(admin, "disk", {"projects": ["elsewhere"]})
    with pytest.raises(NotFound):
        backups.backup_create(operator, web.pk, {"target": "disk"})
    with pytest.raises(InvalidInput):
        backups.backup_create(admin, web.pk, {"target": "disk"})
    with pytest.raises(PermissionDenied):
        target_update(operator, "disk", {"name": "mine"})
    (root / "site").rename(root / "gone")
    assert target_test(admin, "disk")["ok"] is False


def test_a_dead_target_is_forgotten_by_force_and_it_is_told_what_is_lost(
    admin: Actor, operator: Actor, web: Instance, target: BackupTarget, ran: Callable[..., Operation],
    root: Path,
) -> None:  # fmt: skip
    ran(backups.backup_create, operator, web.pk, {"target": "disk"})
    files = _files(root)
    with pytest.raises(InvalidState, match="holds 1 backup.*by force"):
        target_delete(admin, "disk")
    with pytest.raises(PermissionDenied):
        target_delete(operator, "disk", force=True)
    busy = backups.backup_verify(operator, Backup.objects.get().pk)
    with pytest.raises(InvalidState, match="at work"):
        target_delete(admin, "disk", force=True)
    Operation.objects.filter(pk=busy.pk).update(state="cancelled")
    target_delete(admin, "disk", force=True)
    assert not BackupTarget.objects.exists() and not Backup.objects.exists()
    assert _files(root) == files, "what lies there is not touched"
    told = AuditEvent.objects.get(action="backup_target.delete", result="ok")
    assert told.details == {"force": True, "backups": 1, "of": ["web"]}


def test_another_key_is_told_at_once_and_the_old_one_mends_it(
    operator: Actor, web: Instance, target: BackupTarget, ran: Callable[..., Operation], settings: Any
) -> None:
    ran(backups.backup_create, operator, web.pk, {"target": "disk"})
    row = Backup.objects.get()
    first = settings.SECRET_KEY
    try:
        settings.SECRET_KEY = "quite another key of this site, which is long enough"
        sealing._keys.cache_clear()
        assert "another LIBGO_SECRET_KEY" in backup_dict(row)["problem"], "before anything is read"
        with pytest.raises(SealedOtherwise, match="cannot be restored"):
            backups.backup_restore(operator, row.pk, {"name": "again"})
        assert not Instance.objects.filter(name="again").exists()
        done = ran(backups.backup_verify, operator, row.pk)
        assert (done.state, done.error_code) == ("failed", "BACKEND_UNAVAILABLE")
        row.refresh_from_db()
        assert row.state == "damaged" and "another LIBGO_SECRET_KEY" in row.problem
        settings.SECRET_KEY_FALLBACKS = [first]
        sealing._keys.cache_clear()
        assert ran(backups.backup_verify, operator, row.pk).state == "succeeded"
        row.refresh_from_db()
        assert (row.state, backup_dict(row)["problem"]) == ("ready", "")
    finally:
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = first, []
        sealing._keys.cache_clear()


def _moved(admin: Actor, root: Path) -> BackupTarget:
    return target_update(admin, "disk", {"options": {"folder": str(root / "other")}})


def test_a_full_folder_fails_the_backup_and_leaves_nothing(
    operator: Actor, web: Instance, target: BackupTarget, ran: Callable[..., Operation], root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    put = LocalStore.put

    def full(self: LocalStore, key: str, chunks: Iterable[bytes]) -> int:
        if key.endswith("manifest.json"):
            raise OSError(28, "No space left on device")
        return put(self, key, chunks)

    monkeypatch.setattr(LocalStore, "put", full)
    done = ran(backups.backup_create, operator, web.pk, {"target": "disk"})
    assert done.state == "failed" and not Backup.objects.exists() and _files(root) == []


def test_there_is_a_node_for_work_on_targets(fake_node: Node) -> None:
    assert any_node() == fake_node
