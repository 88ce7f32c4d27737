"""Tasks of the workers that ask services for something; the sweeper and whoever ends a child ring them."""

from __future__ import annotations

from celery import shared_task

from compute.services import bulk


@shared_task(ignore_result=True)
def parent_advance(operation_id: str) -> None:
    """Let an operation that consists of others go on, and close it when all are over."""
    bulk.bulk_advance(operation_id)
