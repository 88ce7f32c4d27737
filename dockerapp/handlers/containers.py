"""What workers do with containers beside the life cycle that all backends share."""

from __future__ import annotations

from typing import Any

from compute.backends.types import Resources
from compute.errors import ComputeError, InstanceNotFound, InvalidState
from compute.execution.handlers import Handler, Work, made_beside, observe
from compute.execution.mirror import instance_adopt, instance_forget
from compute.execution.resources import grants_of
from compute.execution.secrets import spec_secrets
from compute.models import Instance
from compute.selectors.sealed_config import config_opened
from compute.states import ACTIVE_OPERATION_STATES
from dockerapp.credentials import Credentials
from dockerapp.engine.containers import Commit
from dockerapp.engine.replace import Replacement
from dockerapp.selectors.nodes import docker_of

_ACTIVE = sorted(ACTIVE_OPERATION_STATES)


def _recreate(work: Work) -> dict[str, Any]:
    params, row = work.operation.params, work.instance
    wanted = Replacement(
        engine_id=row.engine_id,
        instance_id=str(row.pk),
        operation_id=str(work.operation.pk),
        project_id=str(row.project_id),
        config=config_opened(params["config"]),
        resources=Resources(**params["resources"]),
        labels=params["labels"],
        grants=grants_of(work.operation, row.project_id),
        credentials=_credentials(work, {"image": row.image, **params["config"]}),
        stop_timeout_s=params["stop_timeout"],
        health_timeout_s=params["health_timeout"],
    )
    before = row.engine_id
    info = docker_of(work.node).containers.replace(wanted, work.report)
    instance_adopt(row, info)
    Instance.objects.filter(pk=row.pk).update(managed=True)
    observe(work, *made_beside(work))
    return {"engine_id": info.engine_id, "previous_engine_id": before}


def _credentials(work: Work, config: dict[str, Any]) -> Credentials | None:
    return spec_secrets(work.node, work.instance.project_id, config).get("registry")


def _commit(work: Work) -> dict[str, Any]:
    params = work.operation.params
    name = f"{params['repository']}:{params['tag']}"
    work.report.progress(20, f"Writing the image {name}")
    image_id = docker_of(work.node).containers.commit(work.engine_id, Commit(**params))
    work.report.progress(90, "Reading the list of images")
    observe(work, "image")
    return {"image": image_id, "reference": name}


def _prune(work: Work) -> dict[str, Any]:
    params, containers = work.operation.params, docker_of(work.node).containers
    work.report.progress(10, "Counting what they hold")
    sizes = containers.sizes()
    rows = Instance.objects.filter(pk__in=params["instances"], node=work.node).exclude(
        operations__state__in=_ACTIVE
    )
    items, skipped = [], []
    for number, row in enumerate(rows.order_by("name")):
        item = {"id": str(row.pk), "name": row.name, "size_bytes": sizes.get(row.engine_id, 0)}
        if params["dry_run"]:
            items.append(item)
            continue
        work.report.progress(20 + 75 * number / max(1, len(params["instances"])), f"Removing {row.name}")
        try:
            containers.remove_stopped(row.engine_id)
        except (InvalidState, InstanceNotFound) as error:
            # It was started since, or is gone already.
            skipped.append({"id": item["id"], "name": row.name, "reason": error.message})
            continue
        except ComputeError as error:
            skipped.append({"id": item["id"], "name": row.name, "reason": error.message})
            break
        instance_forget(row)
        items.append(item)
    return {
        "dry_run": params["dry_run"],
        "items": items,
        "skipped": skipped,
        "count": len(items),
        "space_reclaimed_bytes": sum(int(str(item["size_bytes"])) for item in items),
    }


HANDLERS: dict[str, Handler] = {
    "instance.recreate": _recreate,
    "instance.commit": _commit,
    "container.prune": _prune,
}
