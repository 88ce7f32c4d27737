"""The pages of backups, with and without script, for those who may and those who may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from compute.actor import Actor
from compute.backends.registry import backend_class
from compute.models import Backup, BackupTarget, Instance, Operation, User
from compute.sealing import seal

pytestmark = pytest.mark.django_db


def _client(actor: Actor) -> Client:
    client = Client()
    client.force_login(User.objects.get(pk=actor.user_id))
    return client


@pytest.fixture
def web(make: Callable[..., Instance]) -> Instance:
    return make("web")


@pytest.fixture
def backup(
    web: Instance, target: BackupTarget, operator: Actor, django_capture_on_commit_callbacks: Any
) -> Backup:
    with django_capture_on_commit_callbacks(execute=True):
        answer = _client(operator).post(reverse("backup_new", args=[web.pk]), {"target": "disk"})
    assert answer.status_code == 302, answer.content
    return Backup.objects.get()


def test_a_backup_is_made_shown_checked_restored_and_deleted_without_script(
    operator: Actor, web: Instance, backup: Backup, django_capture_on_commit_callbacks: Any
) -> None:
    client = _client(operator)
    for url in (
        reverse("backups"),
        reverse("instance_backups", args=[web.pk]),
        reverse("backup", args=[backup.pk]),
    ):
        text = client.get(url).content.decode()
        assert "web" in text and "Restore" in text and "ready" in text, url
    assert "disk.img" in client.get(reverse("backup", args=[backup.pk])).content.decode()
    for name in ("backup_restore", "backup_delete"):
        assert b"<form" in client.get(reverse(name, args=[backup.pk])).content
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(reverse("backup_verify", args=[backup.pk])).status_code == 302
        form = {"name": "web-2", "node": "fake-1", "project": "default", "start": "on"}
        form["networks"] = "back, lan"
        assert client.post(reverse("backup_restore", args=[backup.pk]), form).status_code == 302
    again = Instance.objects.get(name="web-2")
    assert (again.state, again.config["networks"]) == ("running", ["back", "lan"])
    refused = client.post(reverse("backup_restore", args=[backup.pk]), form)
    assert refused.status_code == 200 and "already an instance" in refused.content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(reverse("backup_delete", args=[backup.pk])).status_code == 302
    assert not Backup.objects.exists() and not Operation.objects.exclude(state="succeeded").exists()


def test_what_a_backup_will_not_hold_is_told_before_and_behind(
    operator: Actor, web: Instance, target: BackupTarget
) -> None:
    config = {"firmware": "uefi", "tpm": True}
    assert [text.split(" (")[0] for text in backend_class("kvm").backup_omits(config, [])] == [
        "The variables of its UEFI firmware",
        "What its TPM keeps is not in a backup: disks that are unlocked by it",
    ]
    storage = [{"format": "bind", "target": "/srv"}, {"format": "volume", "target": "/data"}]
    (said,) = backend_class("docker").backup_omits({}, storage)
    assert said == "What is mounted at /srv is a path of the host: not in a backup."
    Instance.objects.filter(pk=web.pk).update(backend="docker", storage=storage)
    page = _client(operator).get(reverse("backup_new", args=[web.pk])).content.decode()
    assert said in page
    kept = {"definition": {}, "instance": {"left_out": [said]}}
    row = Backup.objects.create(
        target=target, project=web.project, instance_uid=web.pk, instance_name="web", backend="docker",
        type="container", state="ready", definition=seal(kept),
    )  # fmt: skip
    assert said in _client(operator).get(reverse("backup", args=[row.pk])).content.decode()


def test_viewers_look_and_strangers_see_nothing(viewer: Actor, stranger: Actor, backup: Backup) -> None:
    client = _client(viewer)
    text = client.get(reverse("backup", args=[backup.pk])).content.decode()
    assert "disk.img" in text and "Verify" not in text and "Delete" not in text
    assert client.post(reverse("backup_delete", args=[backup.pk])).status_code == 403
    assert "web" not in _client(stranger).get(reverse("backups")).content.decode()
    assert _client(stranger).get(reverse("backup", args=[backup.pk])).status_code == 404


def test_targets_are_kept_by_administrators(admin: Actor, operator: Actor, root: Any) -> None:
    client = _client(admin)
    form = {"name": "share", "kind": "local", "folder": f"{root}/share", "is_enabled": "on"}
    assert client.post(reverse("backup_target_new"), form).status_code == 302
    row = BackupTarget.objects.get()
    wrong = client.post(reverse("backup_target_new"), {**form, "name": "other", "folder": "/etc"})
    assert wrong.status_code == 200 and "backups.localRoots" in wrong.content.decode()
    s3 = {
        "name": "far",
        "kind": "s3",
        "bucket": "libgo",
        "endpoint": "http://127.0.0.1:9",
        "is_enabled": "on",
    }
    keys = {"access_key": "key-canary", "secret_key": "secret-canary"}
    assert "credentials" in client.post(reverse("backup_target_new"), s3).content.decode()
    assert client.post(reverse("backup_target_new"), {**s3, **keys}).status_code == 302
    far = BackupTarget.objects.get(name="far")
    assert client.post(reverse("backup_target", args=[far.pk]), {**s3, "region": "eu-1"}).status_code == 302
    for url in (reverse("backup_targets"), reverse("backup_target", args=[far.pk])):
        assert "canary" not in client.get(url).content.decode()
    assert client.post(reverse("backup_target_test", args=[row.pk])).status_code == 302
    row.refresh_from_db()
    assert row.checked_at is not None and row.error == ""
    theirs = _client(operator)
    text = theirs.get(reverse("backup_targets")).content.decode()
    assert "share" in text and str(root) not in text
    assert theirs.get(reverse("backup_target_new")).status_code == 403
    assert theirs.post(reverse("backup_target_remove", args=[row.pk])).status_code == 403
    assert client.post(reverse("backup_target_remove", args=[row.pk])).status_code == 302


def test_the_list_asks_the_same_however_long_it_is(
    operator: Actor, backup: Backup, django_assert_max_num_queries: Any
) -> None:
    client, url = _client(operator), reverse("backups")
    client.get(url)
    for number in range(15):
        Backup.objects.create(
            target=backup.target, project=backup.project, instance_uid=backup.instance_uid,
            instance_name=f"web-{number}", backend="fake", type="container", state="ready",
        )  # fmt: skip
    with django_assert_max_num_queries(25):
        assert client.get(url).content.decode().count("data-name=") == 16
