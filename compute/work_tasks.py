"""Tasks of the workers that ask services for something; the sweeper and whoever ends a child ring them."""

from __future__ import annotations

from celery import shared_task

from compute.services import bulk, schedule_runs


@shared_task(ignore_result=True)
def parent_advance(operation_id: str) -> None:
    """Let an operation that consists of others go on, and close it when all are over."""
    bulk.bulk_advance(operation_id)


@shared_task(ignore_result=True)
def schedules_tick() -> None:
    """Begin what is due, and look after what earlier runs made. Rung every ten seconds by every clock."""
    schedule_runs.schedules_orphaned()
    schedule_runs.schedules_due()
    schedule_runs.made_collect()
    schedule_runs.retention_of_schedules()
