"""What may have happened on the ground of the matrix: everything in every state, with the texts that LibGo
writes down of it."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.utils import timezone

from compute.models import (
    AdoptionRule,
    Alert,
    AlertChannel,
    AlertDelivery,
    AlertRule,
    AuditEvent,
    Backup,
    BackupTarget,
    Event,
    Instance,
    Node,
    Operation,
    OperationLog,
    Resource,
    Schedule,
    ScheduleRun,
)
from compute.permissions import ACTIONS
from compute.sealing import seal
from compute.states import (
    ALERT_METRICS,
    Action,
    AlertKind,
    AlertState,
    BackupState,
    DeliveryState,
    Health,
    InstanceState,
    InstanceType,
    OperationState,
    RunState,
    Severity,
)
from tests.compute.access.ground import Side

_STATUSES = {
    InstanceState.ERROR: "Ran out of memory and was killed (exit code 137)",
    InstanceState.STOPPED: "Exited with code 1",
    InstanceState.PAUSED: "Suspended by the guest",
}
_AWAY = "Docker on n-away cannot be reached: the connection was refused. Is the Docker daemon running?"
_ERROR = (
    "The disk of n-docker is full. What had been written of it was removed; free some room and try again."
)
_STEPS = ("Waiting for a worker", "Pulling nginx:1.27", "Taking the snapshot s-1", "3 of 5 done", "Done")
# Said as the code says them; of each kind of alert one.
_ALERTS = {
    AlertKind.INSTANCE_USAGE: "web-1: memory is 2.5 GiB, above 2 GiB.",
    AlertKind.NODE_USAGE: "n-kvm: cpu is 93.4 %, above 80 %.",
    AlertKind.INSTANCE_DOWN: "web-1 is down: Exited with code 1.",
    AlertKind.INSTANCE_UNHEALTHY: "web-1 is unhealthy: its own check fails.",
    AlertKind.NODE_UNREACHABLE: f"n-away cannot be reached: {_AWAY}",
    AlertKind.POOL_FILLING: "pool-1 (n-kvm): storage is 91.0 %, above 90 %.",
    AlertKind.OPERATION_FAILED: f"instance.start of web-1 failed: {_ERROR}",
    AlertKind.BACKUP_OVERDUE: "web-1 was not backed up for 24 hours. There is no backup of it.",
    AlertKind.INSTANCE_UNMANAGED: "w-1 appeared on n-1; it was made outside LibGo and nobody adopted it.",
}
_EVENTS = {
    "instance.running": "web-1 is running.",
    "instance.error": "web-1 is error: Exited with code 1.",
    "instance.deleted": "web-1 is gone.",
    "instance.created": "web-1 is being made.",
    "instance.migrated": "web-1 moved from n-1 to n-2.",
    "instance.out_of_memory": "web-1 ran out of memory: the system ended a process in it.",
    "node.added": "n-1 was added.",
    "schedule.changed": "The schedule c-1 was changed.",
    "schedule.paused": "The schedule c-1 was paused. The account of its owner is gone or was switched off.",
    "backup_target.tried": "The backup target bt-1 was tried.",
    "operation.failed": "Start web-1: failed.",
    "alert.firing": "n-kvm: cpu is 93.4 %, above 80 %. And 3 more.",
}


def happenings_plant(side: Side) -> None:
    node = Node.objects.get(name="n-fake")
    _nodes()
    _instances(side, node)
    _operations(side)
    _alerts(side)
    _schedules(side)
    _backups(side)
    for kind, message in _EVENTS.items():
        Event.objects.create(type=kind, message=message, instance_name="web-1", username="x-1")
    for action in ACTIONS:
        AuditEvent.objects.create(
            action=action, username="x-1", target="web-1", result="ok", details={"state": "running"}
        )
    AdoptionRule.objects.update(
        problem=f"{_ERROR} And 2 more.", problem_at=timezone.now(), adopted_total=3, labels={"a-1": "b-1"}
    )


def _nodes() -> None:
    gib = 2**30
    common: dict[str, Any] = {"backend": "docker", "url": "unix:///nonexistent/d.sock", "cpu_cores": 4}
    Node.objects.create(name="n-away", is_reachable=False, error=_AWAY, last_seen=timezone.now(), **common)
    Node.objects.create(name="n-off", is_enabled=False, **common)
    Node.objects.create(name="n-drained", is_draining=True, is_reachable=True, **common)
    Node.objects.filter(name="n-kvm").update(storage_total_bytes=100 * gib, storage_used_bytes=95 * gib)
    pool = Resource.objects.get(kind="pool")
    pool.data |= {"allocation": int(pool.data["capacity"] * 0.99), "available": 0}
    pool.save()


def _instances(side: Side, node: Node) -> None:
    for number, state in enumerate(InstanceState):
        for health in ("", *Health):
            Instance.objects.create(
                node=node,
                backend="fake",
                project=side.project,
                engine_id=str(uuid.uuid4()),
                name=f"w-{number}-{len(health)}",
                type=list(InstanceType)[number % 3].value,
                state=state.value,
                status=_STATUSES.get(state, ""),
                health=str(health),
                created_at=timezone.now() - timedelta(hours=number),
                managed=bool(number % 2),
                pending_changes={"memory_bytes": 2**30} if number == 1 else {},
            )
    row = Instance.objects.get(pk=side.ids["fake"])
    row.state, row.status, row.health = "error", _STATUSES[InstanceState.ERROR], "unhealthy"
    row.config = {"image": "nginx:1.27", "tty": True, "memory": 2**30, "restart_policy": {"name": "no"}}
    row.networks = [{"network": "n-1", "ip_address": "10.0.0.2", "mac_address": "02:00:00:00:00:01"}]
    row.ports = [{"port": 80, "protocol": "tcp", "host_ip": "127.0.0.1", "host_port": 8080}]
    row.storage = [{"name": "v-1", "source": "/srv/v-1", "target": "/data", "format": "raw"}]
    row.labels = {"a-1": "b-1"}
    row.save()


def _operations(side: Side) -> None:
    first = Operation.objects.get(pk=side.ids["operation"])
    for number, action in enumerate(Action):
        state = list(OperationState)[number % len(OperationState)]
        bad = state in (OperationState.FAILED, OperationState.INTERRUPTED)
        Operation.objects.create(
            action=f"instance.{action}",
            state=state.value,
            step=_STEPS[number % len(_STEPS)],
            progress=40,
            instance_uid=side.ids["fake"],
            instance_name="web-1",
            project=side.project,
            node=first.node,
            error_code="BACKEND_ERROR" if bad else "",
            error_message=_ERROR if bad else "",
            started_at=timezone.now(),
            finished_at=None if state in (OperationState.QUEUED, OperationState.RUNNING) else timezone.now(),
        )
    first.state, first.step, first.progress = "failed", "Pulling nginx:1.27", 60
    first.error_code, first.error_message, first.finished_at = "BACKEND_ERROR", _ERROR, timezone.now()
    first.undo_pending, first.result = (
        True,
        {"warnings": ["What is mounted at /x is a path of the host: not in a backup."]},
    )
    first.save()
    for line in (_ERROR, "Cleaned up: everything was taken back.", "Logged in at r-1.example.com as u-1"):
        OperationLog.objects.create(operation=first, line=line)


def _alerts(side: Side) -> None:
    channel = AlertChannel.objects.get(name="ch-1")
    for number, (kind, message) in enumerate(_ALERTS.items()):
        metric = sorted(ALERT_METRICS.get(kind, {""}))[0]
        rule = AlertRule.objects.create(
            name=f"r-{number}",
            kind=kind.value,
            metric=metric,
            threshold=80 if metric else None,
            severity=list(Severity)[number % 3].value,
            for_s=60,
            silenced_until=timezone.now() + timedelta(hours=1) if number == 1 else None,
        )
        Alert.objects.create(
            rule=rule,
            subject=f"x:{number}",
            subject_name="web-1",
            instance_uid=side.ids["fake"],
            project_uid=side.project.pk,
            severity=rule.severity,
            state=list(AlertState)[number % 3].value,
            message=message,
            started_at=timezone.now(),
            fired_at=timezone.now(),
            acknowledged_by="x-1" if number == 4 else "",
        )
    Alert.objects.update(message=_ALERTS[AlertKind.INSTANCE_DOWN])
    for alert, message in zip(
        Alert.objects.filter(rule__name__startswith="r-"), _ALERTS.values(), strict=True
    ):
        Alert.objects.filter(pk=alert.pk).update(message=message)
    for state in DeliveryState:
        error = "It answered 500." if state is DeliveryState.FAILED else ""
        AlertDelivery.objects.create(
            channel=channel,
            event="alert.firing",
            state=state.value,
            status=500 if error else None,
            error=error,
            next_try_at=timezone.now(),
        )


def _schedules(side: Side) -> None:
    row = Schedule.objects.get(pk=side.ids["schedule"])
    reasons = {
        RunState.SKIPPED: "It was missed: LibGo looked 12 minutes too late.",
        RunState.REFUSED: "The account of its owner is gone or was switched off.",
    }
    for number, state in enumerate(RunState):
        planned = timezone.now() - timedelta(days=number + 1)
        ScheduleRun.objects.create(
            schedule=row, planned_at=planned, state=state.value, reason=reasons.get(state, "")
        )
    row.is_enabled, row.keep = False, {"last": 3, "daily": 7, "weekly": 2}
    row.paused_reason = f"{reasons[RunState.REFUSED]} Whoever resumes it is its owner from then on."
    row.keep_problem, row.action = _ERROR, "snapshot"
    row.save()
    for number, cron in enumerate(("*/5 * * * *", "30 2 * * 1-5", "0 4 1 1,2 *", "5 0 * * 6L")):
        Schedule.objects.create(
            project=side.project, name=f"c-{number}", cron=cron, action="stop", target={"node": "n-kvm"}
        )


def _backups(side: Side) -> None:
    target = BackupTarget.objects.get(name="bt-1")
    target.error, target.checked_at = "The S3 server has no such bucket. Make it first.", timezone.now()
    target.save()
    for state in BackupState:
        Backup.objects.create(
            target=target,
            project=side.project,
            state=state.value,
            instance_uid=side.ids["fake"],
            instance_name="web-1",
            backend="fake",
            type="container",
            size_bytes=2**30,
            problem="The part “disk-1” is not what was backed up: its check sum differs.",
            finished_at=timezone.now(),
            definition=seal({"definition": {}, "instance": {"labels": {}, "annotations": {}}}),
        )
