"""Backups by bulk and by schedules, and what a schedule keeps of them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from compute.actor import Actor
from compute.errors import InvalidInput
from compute.models import Backup, Instance, ScheduleMade
from compute.services.backup_targets import target_create
from compute.services.backups import backup_create
from compute.services.schedule_runs import made_collect, retention_of_schedules, schedule_run_now
from compute.services.schedules import schedule_create
from tests.compute.work.conftest import Worked, client_for

pytestmark = pytest.mark.django_db
BODY: dict[str, Any] = {"cron": "30 2 * * *", "timezone": "UTC", "action": "backup", "keep": {"last": 2}}


@pytest.fixture(autouse=True)
def disk(admin: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.LIBGO, "backups", {"local_roots": [str(tmp_path)]})
    target_create(admin, {"name": "disk", "kind": "local", "options": {"folder": f"{tmp_path}/site"}})


def test_many_at_once(operator: Actor, rows: list[Instance], worked: Worked) -> None:
    body = {"action": "backup", "filter": {"q": "web-"}, "options": {"target": "disk"}}
    with worked():
        answer = client_for(operator).post("/api/v1/compute/instances/bulk", body, format="json")
    assert answer.status_code == 202, answer.content
    assert {row.state for row in Backup.objects.all()} == {"ready"}
    assert {row.instance_uid for row in Backup.objects.all()} == {row.pk for row in rows}
    body["options"] = {}
    answer = client_for(operator).post("/api/v1/compute/instances/bulk", body, format="json")
    assert answer.status_code == 400 and "options.target" in answer.content.decode()


def test_a_schedule_keeps_its_newest_and_leaves_others_alone(
    operator: Actor, rows: list[Instance], worked: Worked
) -> None:
    one = rows[0]
    with worked():
        backup_create(operator, one.pk, {"target": "disk", "description": "by hand"})
    target = {"ids": [str(one.pk)]}
    row = schedule_create(
        operator, {**BODY, "name": "nightly", "target": target, "options": {"target": "disk"}}
    )
    for number in range(4):
        with worked():
            schedule_run_now(operator, row.pk)
        made_collect()
        newest = ScheduleMade.objects.order_by("-pk").first()
        assert newest is not None and ScheduleMade.objects.count() == number + 1
        ScheduleMade.objects.filter(pk=newest.pk).update(made_at=timezone.now() - timedelta(days=9 - number))
    last = list(ScheduleMade.objects.order_by("made_at").values_list("name", flat=True))[-2:]
    for _ in range(5):
        with worked():
            retention_of_schedules()
    left = {str(backup.pk): backup.description for backup in Backup.objects.all()}
    assert set(last) < set(left) and len(left) == 3 and "by hand" in left.values()
    with pytest.raises(InvalidInput):
        schedule_create(operator, {**BODY, "name": "wrong", "target": target, "options": {}})
