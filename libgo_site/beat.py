"""Celery's clock, over clocks that are put back.

Celery's own then rings for nothing until it is again as late as it was: for an hour, or a day, nobody looks
for lost work, no schedule runs, and no alert.
"""

from __future__ import annotations

from typing import Any

from celery.beat import PersistentScheduler


class Scheduler(PersistentScheduler):
    def tick(self, *args: Any, **kwargs: Any) -> float:
        ahead = [entry for entry in self.schedule.values() if entry.last_run_at > entry.default_now()]
        for entry in ahead:
            entry.last_run_at = entry.default_now()
        if ahead:
            # Made anew by the times that count now.
            self._heap = None
        return float(super().tick(*args, **kwargs))
