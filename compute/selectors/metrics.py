"""What Prometheus scrapes: read from the database and the newest samples at each scrape, so every web
process tells the same. The number of series is bounded: see ``instances_max``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

from django.conf import settings
from django.db.models import Count, Min
from django.utils import timezone as django_timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from compute.live import USAGE_FRESH_S, usage_latest
from compute.models import Instance, Node, Operation, UsageBlock
from compute.states import InstanceState, OperationState

_INSTANCE_LABELS = ["instance", "name", "type", "backend", "node", "project"]
_NODE_LABELS = ["node", "backend"]
# Key of a sample: name, help, whether it only grows.
_SAMPLED: dict[str, tuple[str, str, bool]] = {
    "cpu_percent": ("cpu_cores_used", "Cores busy, as a number of cores", False),
    "memory_bytes": ("memory_used_bytes", "Memory used", False),
    "memory_limit_bytes": ("memory_limit_bytes", "Memory it may use", False),
    "network_rx_bytes": ("network_receive_bytes", "Received since it started", True),
    "network_tx_bytes": ("network_transmit_bytes", "Sent since it started", True),
    "disk_read_bytes": ("disk_read_bytes", "Read from disks since it started", True),
    "disk_write_bytes": ("disk_written_bytes", "Written to disks since it started", True),
    "pids": ("processes", "Processes and threads", False),
}


def instances_max() -> int:
    """So many running instances have figures of their own; the others are counted."""
    return int(settings.LIBGO["metrics"]["max_instances"])


def metrics_text() -> bytes:
    """The exposition format, version 0.0.4."""
    registry = CollectorRegistry()
    registry.register(_Site())
    return generate_latest(registry)


class _Site:
    """One scrape."""

    def collect(self) -> Iterator[Metric]:
        yield _counted("libgo_instances", "Instances", Instance, ["backend", "state"])
        yield _counted("libgo_operations", "Operations kept", Operation, ["action", "state"])
        yield from _queue()
        yield from _nodes()
        yield from _instances()
        blocks = UsageBlock.objects.count()
        yield _gauge("libgo_usage_blocks", "Blocks of the past of usage", [([], float(blocks))])


def _counted(name: str, text: str, model: Any, columns: list[str]) -> Metric:
    rows = model.objects.order_by().values(*columns).annotate(n=Count("pk"))
    return _gauge(name, text, [([row[each] for each in columns], row["n"]) for row in rows], columns)


def _queue() -> Iterator[Metric]:
    waiting = Operation.objects.filter(state=OperationState.QUEUED.value)
    oldest = waiting.aggregate(at=Min("created_at"))["at"]
    age_s = (django_timezone.now() - oldest).total_seconds() if oldest else 0.0
    text = "Seconds that the oldest queued operation has waited"
    yield _gauge("libgo_operations_queue_age_seconds", text, [([], max(0.0, age_s))])


def _nodes() -> Iterator[Metric]:
    nodes, now = list(Node.objects.order_by("name")), django_timezone.now()
    labels = {str(node.pk): [node.name, node.backend] for node in nodes}

    def each(name: str, text: str, value: Callable[[Node], float | None]) -> Metric:
        known = [(labels[str(node.pk)], number) for node in nodes if (number := value(node)) is not None]
        return _gauge(f"libgo_node_{name}", text, known, _NODE_LABELS)

    yield each("up", "1 when the node answers", lambda node: float(node.is_enabled and node.is_reachable))
    yield each(
        "watched",
        "1 while a watcher has its lease",
        lambda node: float(bool(node.watcher_until and node.watcher_until > now)),
    )
    yield each("cpu_cores", "Cores of the host", lambda node: node.cpu_cores)
    yield each("storage_total_bytes", "Storage of the engine", lambda node: node.storage_total_bytes)
    yield each("storage_used_bytes", "Of it used", lambda node: node.storage_used_bytes)
    yield from _sampled("libgo_node", labels, _NODE_LABELS)


def _instances() -> Iterator[Metric]:
    running = Instance.objects.filter(state=InstanceState.RUNNING.value).order_by("created_at", "pk")
    columns = ("pk", "name", "type", "backend", "node__name", "project__name")
    rows = list(running.values_list(*columns)[: instances_max()])
    labels = {str(row[0]): [str(value) for value in row] for row in rows}
    yield from _sampled("libgo_instance", labels, _INSTANCE_LABELS)
    left_out = max(0, running.count() - len(rows))
    yield _gauge("libgo_instances_without_figures", "Left out: more run than may", [([], float(left_out))])


def _sampled(prefix: str, labels: dict[str, list[str]], names: list[str]) -> Iterator[Metric]:
    """The newest samples of those that have a fresh one."""
    now = datetime.now(timezone.utc)
    fresh = {
        key: sample for key, sample in usage_latest(labels).items() if _age_s(sample, now) <= USAGE_FRESH_S
    }
    for key, (name, text, grows) in _SAMPLED.items():
        family: Any = CounterMetricFamily if grows else GaugeMetricFamily
        metric = family(f"{prefix}_{name}", text, labels=names)
        for subject, sample in fresh.items():
            value = sample.get(key)
            if value is not None:
                metric.add_metric(labels[subject], value / 100 if key == "cpu_percent" else value)
        yield metric


def _age_s(sample: dict[str, Any], now: datetime) -> float:
    return (now - datetime.fromisoformat(sample["timestamp"].replace("Z", "+00:00"))).total_seconds()


def _gauge(
    name: str, text: str, rows: Iterable[tuple[list[str], float]], labels: list[str] | None = None
) -> GaugeMetricFamily:
    metric = GaugeMetricFamily(name, text, labels=labels or [])
    for values, number in rows:
        metric.add_metric(values, number)
    return metric
