"""What must happen by itself for Docker alone."""

from __future__ import annotations

import structlog
from celery import shared_task

from compute.errors import ComputeError
from compute.models import Node
from dockerapp.selectors.nodes import BACKEND, docker_of

log = structlog.get_logger(__name__)


@shared_task(ignore_result=True)
def helpers_sweep() -> None:
    """Remove the helper containers of processes that died."""
    for node in Node.objects.filter(backend=BACKEND, is_enabled=True, is_reachable=True):
        try:
            docker_of(node).helpers.sweep()
        except ComputeError as error:
            log.info("helpers_not_swept", node=node.name, reason=error.message)


@shared_task(ignore_result=True)
def sessions_sweep() -> None:
    """End the sessions in containers whose web process was killed."""
    for node in Node.objects.filter(backend=BACKEND, is_enabled=True, is_reachable=True):
        try:
            docker_of(node).sessions_end()
        except ComputeError as error:
            log.info("sessions_not_ended", node=node.name, reason=error.message)
