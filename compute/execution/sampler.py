"""What the one sampler of a node does: look, tell Redis, collect, store.

What it has collected and not stored yet (half a minute of it) stands in Redis too, so the next sampler
begins with it; only when both are lost at once is there a gap.
"""

from __future__ import annotations

from datetime import datetime, timezone
from time import time
from typing import Any

import structlog
from django.db import DatabaseError

from compute.backends.base import Backend
from compute.execution.usage import usage_store
from compute.live import usage_dict, usage_recent_many, usage_write
from compute.models import Instance, Node
from compute.selectors.page import time_text
from compute.states import InstanceState
from compute.usage.points import STEP_S, Collector, Measures, measures_sum, project_subject

log = structlog.get_logger(__name__)

STORE_EVERY_S = 30.0


class Sampler:
    """Of one node. Not thread-safe: it belongs to the thread that samples."""

    def __init__(self, node: Node, backend: Backend) -> None:
        self._node, self._backend = node, backend
        self._subject = str(node.pk)
        self._collector = Collector()
        self._knows_past = False

    def look(self) -> None:
        """One sample of every running instance, and of the host. Raises ``ComputeError``,
        ``DatabaseError``."""
        rows = Instance.objects.filter(node=self._node, state=InstanceState.RUNNING.value)
        ids: dict[str, str] = {}
        projects: dict[str, str] = {}
        for engine_id, pk, project_id in rows.values_list("engine_id", "pk", "project_id"):
            ids[engine_id] = str(pk)
            projects[engine_id] = str(project_subject(self._node.pk, project_id))
        self._remember([*ids.values(), *set(projects.values()), self._subject])
        found = self._backend.usage_all() if ids else {}
        samples: dict[str, dict[str, Any]] = {}
        by_project: dict[str, list[Measures]] = {}
        for engine_id, usage in found.items():
            if engine_id not in ids:
                continue
            subject, at_s = ids[engine_id], usage.timestamp.timestamp()
            samples[subject] = usage_dict(usage)
            measures = self._collector.measures(subject, at_s, samples[subject])
            self._collector.put(subject, at_s, measures)
            by_project.setdefault(projects[engine_id], []).append(measures)
        samples |= {subject: self._sum(subject, many) for subject, many in by_project.items()}
        together = measures_sum(measures for many in by_project.values() for measures in many)
        samples[self._subject] = self._host(together)
        usage_write(samples)

    def store(self) -> None:
        """Write what is complete. Raises ``DatabaseError``; nothing is lost then."""
        usage_store(self._collector)

    def store_rest(self) -> None:
        """The last one, when the sampler ends; whoever comes next completes the span under way."""
        try:
            usage_store(self._collector, before_s=time() + STEP_S)
        except DatabaseError as error:
            log.info("usage_not_stored", node=self._node.name, reason=str(error))

    def _sum(self, subject: str, many: list[Measures]) -> dict[str, Any]:
        """Of a project what its instances here use together."""
        measures, at = measures_sum(many), datetime.now(timezone.utc)
        self._collector.put(subject, at.timestamp(), measures)
        return {**measures, "timestamp": time_text(at)}

    def _host(self, together: Measures) -> dict[str, Any]:
        """Of the host what it tells; where it does not, all that runs on it."""
        try:
            usage = self._backend.host_usage()
        except OSError:
            usage = None
        at = datetime.now(timezone.utc)
        sample = usage_dict(usage) if usage else {**together, "timestamp": time_text(at)}
        sample["storage_used_bytes"] = self._node.storage_used_bytes
        if usage and usage.network_rx_bytes is None:
            sample |= {name: value for name, value in together.items() if name.endswith("_per_s")}
        measures = self._collector.measures(self._subject, at.timestamp(), sample)
        self._collector.put(self._subject, at.timestamp(), measures)
        return sample

    def _remember(self, subjects: list[str]) -> None:
        """Take over what the sampler before had not stored."""
        if not self._knows_past:
            self._knows_past = True
            for subject, samples in usage_recent_many(subjects).items():
                self._collector.feed(subject, samples)
