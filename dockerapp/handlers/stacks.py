"""Carry out what was asked of stacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from django.utils import timezone

from compute.backends.types import UndoStep
from compute.errors import ComputeError, InstanceNotFound, NotFound, OperationInterrupted
from compute.execution.handlers import STOP_TIMEOUT_S, Handler, Work, observe, undoer_register
from compute.execution.mirror import instances_gone, instances_observe
from compute.execution.resources import grants_of
from compute.models import Instance, Operation
from compute.sealing import unseal
from dockerapp.backend import DockerBackend
from dockerapp.engine.stacks import UNDO_STACK, ImageWanted, Stacks, StackSpec
from dockerapp.labels import LABEL_STACK
from dockerapp.models import Stack
from dockerapp.references import reference_parse
from dockerapp.selectors.registries import credentials_at

_UNDO_ROW = "stack-row"


class _Quietly:
    """The reporter of what must be done to its end: it cannot be cancelled any more."""

    def __init__(self, work: Work) -> None:
        self._report = work.report

    def progress(self, percent: float, step: str) -> None:
        self._report.log(step)

    def log(self, line: str) -> None:
        self._report.log(line)

    def checkpoint(self) -> None:
        return None

    def undo(self, step: UndoStep) -> None:
        return None


def _stacks(work: Work) -> Stacks:
    return cast(DockerBackend, work.backend).stacks


def _row(work: Work) -> Stack:
    row = Stack.objects.select_related("node").filter(pk=work.operation.params["stack"]).first()
    if row is None:
        raise NotFound(f"The stack “{work.operation.target}” is gone.")
    return row


def _deploy(work: Work) -> dict[str, Any]:
    params, row, stacks = work.operation.params, _row(work), _stacks(work)
    spec = _spec(work, row, unseal(params["model"]), params["services"], params["scale"], params["images"])
    is_first = not row.deployed_sealed
    if is_first:
        kept = stacks.volume_names(row.name)
        ref = {"name": row.name, "stack": str(row.pk), "project": str(row.project_id), "keep": kept}
        # Its row too, when the worker is lost between the deployment and its end.
        work.report.undo(UndoStep(_UNDO_ROW, {"stack": str(row.pk)}))
        work.report.undo(UndoStep(UNDO_STACK, ref))
    words = ["--force-recreate"] if params["recreate"] else []
    try:
        stacks.up(spec, work.report, words=words)
    except OperationInterrupted:
        raise
    except ComputeError:
        if is_first:
            # The runner takes back what was made; nothing is left of it here either.
            row.delete()
        else:
            Stack.objects.filter(pk=row.pk).update(services=params["before"])
            _put_back(work, row)
        raise
    Stack.objects.filter(pk=row.pk).update(
        compose_sealed=params["compose"],
        env_sealed=params["env"],
        deployed_sealed=params["model"],
        services=params["services"],
        scale=params["scale"],
        updated_at=timezone.now(),
    )
    _observe(work, str(row.pk))
    return {"stack": str(row.pk), "services": sorted(params["services"])}


def _row_undo(operation: Operation, step: UndoStep) -> None:
    Stack.objects.filter(pk=step.ref["stack"]).delete()


undoer_register(_UNDO_ROW, _row_undo)


def _scale(work: Work) -> dict[str, Any]:
    params, row = work.operation.params, _row(work)
    spec = _spec(work, row, unseal(row.deployed_sealed), row.services, params["scale"], [])
    words = ["--no-recreate", "--no-deps", params["service"]]
    try:
        _stacks(work).up(spec, work.report, words=words)
    except OperationInterrupted:
        raise
    except ComputeError:
        _put_back(work, row, words)
        raise
    Stack.objects.filter(pk=row.pk).update(scale=params["scale"], updated_at=timezone.now())
    _observe(work, str(row.pk))
    return {"stack": str(row.pk)}


def _put_back(work: Work, row: Stack, words: Sequence[str] = ()) -> None:
    """Bring back what ran before. What Compose replaced meanwhile is made anew from the old file."""
    work.report.log("It failed: bringing back what ran before")
    try:
        spec = _spec(work, row, unseal(row.deployed_sealed), row.services, row.scale, [])
        _stacks(work).up(spec, _Quietly(work), words=words)
        _observe(work, str(row.pk))
    except ComputeError as error:
        work.report.log(f"What ran before could not be brought back: {error.message}")


def _act(verb: str) -> Handler:
    def handle(work: Work) -> dict[str, Any]:
        if "outside" in work.operation.params:
            return _act_outside(work, verb)
        row = _row(work)
        spec = _spec(work, row, unseal(row.deployed_sealed), row.services, row.scale, [])
        _stacks(work).act(spec, verb, work.operation.params["service"], work.report)
        _observe(work, str(row.pk))
        return {"stack": str(row.pk)}

    return handle


def _act_outside(work: Work, verb: str) -> dict[str, Any]:
    ids = work.operation.params["outside"]
    for number, engine_id in enumerate(ids):
        work.report.progress(100 * number / len(ids), f"{verb} {engine_id[:12]}")
        if verb == "start":
            work.backend.instance_start(engine_id, work.report)
        elif verb == "stop":
            work.backend.instance_stop(engine_id, timeout_s=STOP_TIMEOUT_S, force=False, report=work.report)
        else:
            work.backend.instance_restart(engine_id, timeout_s=STOP_TIMEOUT_S, report=work.report)
    _reread(work, ids)
    return {}


def _pull(work: Work) -> dict[str, Any]:
    row, service = _row(work), work.operation.params["service"]
    wanted = [body["image"] for name, body in row.services.items() if service in ("", name)]
    _stacks(work).pull([_image(row, image, "always") for image in wanted], work.report, (2, 98))
    observe(work, "image")
    return {"stack": str(row.pk), "images": sorted(set(wanted))}


def _delete(work: Work) -> dict[str, Any]:
    params, stacks = work.operation.params, _stacks(work)
    if "outside" in params:
        work.report.progress(20, "Removing the containers")
        stacks.remove_outside(params["outside"], params["networks"], params["volumes"])
        instances_gone(work.node, params["outside"])
    else:
        row = _row(work)
        if row.deployed_sealed:
            spec = _spec(work, row, unseal(row.deployed_sealed), row.services, row.scale, [])
            stacks.down(spec, work.report, volumes=params["volumes"])
        else:
            stacks.remove(row.name, str(row.pk), str(row.project_id), volumes=params["volumes"])
        _observe(work, str(row.pk))
        row.delete()
    observe(work, "network", "volume")
    return {}


def _spec(
    work: Work,
    row: Stack,
    model: dict[str, Any],
    services: Mapping[str, Mapping[str, Any]],
    scale: Mapping[str, int],
    images: list[list[str]],
) -> StackSpec:
    counts = {name: int(scale.get(name, body["replicas"])) for name, body in services.items()}
    return StackSpec(
        name=row.name,
        stack_id=str(row.pk),
        project_id=str(row.project_id),
        model=model,
        images=[_image(row, image, when) for image, when in images],
        replicas=counts,
        grants=grants_of(work.operation, row.project_id),
    )


def _image(row: Stack, image: str, when: str) -> ImageWanted:
    """With the credentials of the project for its registry, looked up now."""
    known = None if when == "never" else credentials_at(row.project_id, reference_parse(image))
    return ImageWanted(image, when, known)


def _observe(work: Work, stack_id: str) -> None:
    """The truth into the mirror, so that the answer and the next read agree."""
    known = Instance.objects.filter(node=work.node, **{f"engine_labels__{LABEL_STACK}": stack_id})
    before = set(known.values_list("engine_id", flat=True)) - {""}
    _reread(work, sorted(before | set(_stacks(work).container_ids(stack_id))))
    known.filter(created_by=None).update(created_by=work.operation.user)
    observe(work, "network", "volume")


def _reread(work: Work, engine_ids: list[str]) -> None:
    found, gone, began = [], [], timezone.now()
    for engine_id in engine_ids:
        try:
            found.append(work.backend.instance_get(engine_id))
        except InstanceNotFound:
            gone.append(engine_id)
    instances_observe(work.node, found)
    instances_gone(work.node, gone, began)


HANDLERS: dict[str, Handler] = {
    "stack.deploy": _deploy,
    "stack.scale": _scale,
    "stack.start": _act("start"),
    "stack.stop": _act("stop"),
    "stack.restart": _act("restart"),
    "stack.pull": _pull,
    "stack.delete": _delete,
}
