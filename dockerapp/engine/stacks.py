"""Stacks of one engine: Compose does the work, LibGo checks before and cleans up after."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from docker import APIClient

from compute.backends.types import LABEL_PROJECT, Grants, Reporter, UndoStep
from compute.errors import (
    BackendError,
    InstanceNotFound,
    InvalidState,
    VolumeNotFound,
)
from compute.tell import tell
from dockerapp.credentials import Credentials
from dockerapp.engine.client import EngineClient, as_list
from dockerapp.engine.compose_model import Checked, model_check, model_marked, things_named
from dockerapp.engine.compose_text import Problem, document_read, env_text
from dockerapp.engine.compose_tool import compose_resolve, compose_run, compose_tool
from dockerapp.engine.lifecycle import container_remove
from dockerapp.engine.networks import Networks, endpoints_left
from dockerapp.engine.pull import image_ensure
from dockerapp.engine.volumes import Volumes
from dockerapp.labels import LABEL_COMPOSE, LABEL_STACK

UNDO_STACK = "stack"
_UP_S = 1800.0
_ACT_S = 600.0
_PLACE = re.compile(r"(?<![\w/])(services|networks|volumes|configs|secrets)((?:\.[\w-]+|\[[\w-]+\])+)")
_EXTRA = re.compile(r"additional propert(?:y|ies) '([^']+)' not allowed")
_SERVICE = re.compile(r'service "([^"]+)"')
_WORDS = (
    (re.compile(r"^validating \S+: *"), ""),
    (re.compile(r": invalid compose project$"), ""),
    (re.compile(r"^decoding failed due to the following error\(s\): *"), ""),
)
_PHASES = frozenset({"Working", "Done", "Warning", "Error"})
_ENDS = frozenset({"Started", "Healthy", "Running", "Stopped", "Removed", "Created", "Exited", "Recreated"})


class ImageWanted(NamedTuple):
    """``when`` is missing, always or never."""

    name: str
    when: str
    credentials: Credentials | None = None


@dataclass(frozen=True)
class StackSpec:
    """What is to run: ``model`` as :class:`Checked` gave it, its images, how many of each service."""

    name: str
    stack_id: str
    project_id: str
    model: Mapping[str, Any]
    images: Sequence[ImageWanted]
    replicas: Mapping[str, int]
    grants: Grants = Grants()

    @property
    def containers(self) -> int:
        return sum(self.replicas.values())

    def marked(self) -> dict[str, Any]:
        return model_marked(self.model, self.stack_id, self.project_id, self.replicas)


class Stacks:
    """What one engine can do with stacks. Every method raises only ``ComputeError``."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client

    def tool(self) -> dict[str, str]:
        """Which Compose carries it out: ``path``, ``version``, ``source``."""
        return dict(vars(compose_tool()))

    def check(self, name: str, text: str, env: Mapping[str, str], *, is_admin: bool) -> Checked:
        """Read and resolve a compose file; no engine is asked. Problems are in the answer."""
        document, problems = document_read(text)
        if document is None or problems:
            return Checked(tuple(problems), document=document)
        model, error, warnings = compose_resolve(name, document.text, env_text(dict(env)))
        told = [Problem(text, level="warning") for text in warnings]
        if model is None:
            return Checked((_complaint(document, error), *told), document=document)
        found = model_check(document, model, env, is_admin=is_admin)
        return Checked(
            (*found.problems, *told), found.services, found.volumes, found.networks, found.model, document
        )

    def pull(self, images: Iterable[ImageWanted], report: Reporter, span: tuple[float, float]) -> None:
        """Each image once, as its service says; ``span`` is the share of the percentage."""
        wanted = list(dict.fromkeys(images))
        low, high = span
        for number, image in enumerate(wanted):
            step = (high - low) / len(wanted)
            share = (low + number * step, low + (number + 1) * step)
            image_ensure(self._client, image.name, image.when, report, share, image.credentials)

    def up(self, spec: StackSpec, report: Reporter, *, words: Sequence[str] = ()) -> None:
        """Make it so: what differs is made anew, what is gone from the file is removed."""
        self._foreign_refuse(spec)
        self._things_check(spec, are_made=False)
        self.pull(spec.images, report, (3, 40))
        report.progress(40, "Bringing the services up")
        options = ["up", "-d", "--no-build", "--pull", "never", "--remove-orphans", *words]
        self._run(spec.name, spec.marked(), options, _Steps(report, (40, 96), 3 * spec.containers), _UP_S)
        # A name may have changed hands before Compose came to it; what a container has nobody removes.
        self._things_check(spec, are_made=True)

    def act(self, spec: StackSpec, verb: str, service: str, report: Reporter) -> None:
        """``start``, ``stop`` or ``restart``, of one service or of all in their order."""
        self._foreign_refuse(spec)
        words = [verb, *([service] if service else [])]
        self._run(spec.name, spec.marked(), words, _Steps(report, (5, 96), 2 * spec.containers), _ACT_S)

    def down(self, spec: StackSpec, report: Reporter, *, volumes: bool) -> None:
        """Nothing of it is left, but its volumes unless ``volumes``."""
        self._foreign_refuse(spec)
        words = ["down", "--remove-orphans", *(["--volumes"] if volumes else [])]
        try:
            self._run(spec.name, spec.marked(), words, _Steps(report, (5, 90), 2 * spec.containers), _ACT_S)
        except BackendError as error:
            # Compose does not wait until the engine has let go of a network; what is left is removed below.
            if not endpoints_left(error.message):
                raise
        self.remove(spec.name, spec.stack_id, spec.project_id, volumes=volumes)

    def container_ids(self, stack_id: str) -> list[str]:
        """Engine ids of what carries the mark of this stack."""
        marks = {"label": [f"{LABEL_STACK}={stack_id}"]}
        return [str(row["Id"]) for row in self._call(lambda api: api.containers(all=True, filters=marks))]

    def volume_names(self, name: str) -> list[str]:
        """The volumes that a stack of this name has left on the engine."""
        named = {"label": [f"{LABEL_COMPOSE}={name}"]}
        answer = self._call(lambda api: api.volumes(filters=named))
        return [str(row["Name"]) for row in as_list(answer.get("Volumes"))]

    def remove(
        self, name: str, stack_id: str, project_id: str, *, volumes: bool, keep: Sequence[str] = ()
    ) -> None:
        """Whatever carries the marks of this stack, whoever made it; idempotent. ``keep`` are volumes
        that stay."""
        marks = {"label": [f"{LABEL_STACK}={stack_id}", f"{LABEL_COMPOSE}={name}"]}
        for row in self._call(lambda api: api.containers(all=True, filters=marks)):
            container_remove(self._client, str(row["Id"]), volumes=True)
        for row in self._call(lambda api: api.networks(filters=marks)):
            Networks(self._client).remove(str(row["Id"]))
        if volumes:
            marks = {"label": [f"{LABEL_PROJECT}={project_id}", f"{LABEL_COMPOSE}={name}"]}
            for row in as_list(self._call(lambda api: api.volumes(filters=marks)).get("Volumes")):
                if row["Name"] not in keep:
                    with contextlib.suppress(VolumeNotFound):
                        self._call(lambda api, found=row: api.remove_volume(found["Name"]))

    def undo(self, step: UndoStep) -> None:
        """Take back a first deployment. Compose may have been ended between asking and hearing, so the
        engine is looked at again."""
        for pause in (0.0, 0.7):
            time.sleep(pause)
            ref = step.ref
            self.remove(ref["name"], ref["stack"], ref["project"], volumes=True, keep=ref["keep"])

    def remove_outside(
        self, engine_ids: Sequence[str], networks: Sequence[str], volumes: Sequence[str]
    ) -> None:
        """Take down what was not deployed from here, thing by thing."""
        for engine_id in engine_ids:
            container_remove(self._client, engine_id, volumes=True)
        for network in networks:
            Networks(self._client).remove(network)
        for volume in volumes:
            with contextlib.suppress(VolumeNotFound, InstanceNotFound):
                self._call(lambda api, found=volume: api.remove_volume(found))

    def _foreign_refuse(self, spec: StackSpec) -> None:
        """Compose goes by labels that anyone may put on a container or an image: whatever has this
        stack's name without its mark stops the work before Compose could take it for its own."""
        named = {"label": [f"{LABEL_COMPOSE}={spec.name}"]}
        for row in self._call(lambda api: api.containers(all=True, filters=named)):
            if (row.get("Labels") or {}).get(LABEL_STACK) != spec.stack_id:
                other = str((as_list(row.get("Names")) or ["/?"])[0]).lstrip("/")
                raise InvalidState(
                    f"The container “{other[:80]}” says that it belongs to “{spec.name}”, but LibGo did not "
                    "deploy it. Remove it, or give the stack another name.",
                    container=other[:80],
                )

    def _things_check(self, spec: StackSpec, *, are_made: bool) -> None:
        """The volumes and networks that it names, as the engine has them now, are the project's or may be
        used. Raises ``VolumeNotFound`` and ``NetworkNotFound``."""
        volumes, networks = Volumes(self._client), Networks(self._client)
        for body in things_named(spec.model.get("volumes")).values():
            if are_made or body["external"] or volumes.mark(body["name"]) is not None:
                volumes.allowed(body["name"], spec.grants, spec.project_id)
        for body in things_named(spec.model.get("networks")).values():
            if are_made or body["external"] or networks.named(body["name"]):
                networks.allowed(body["name"], spec.grants, spec.project_id)

    def _run(
        self, name: str, model: Mapping[str, Any], words: Sequence[str], steps: _Steps, timeout_s: float
    ) -> None:
        compose_run(
            self._client,
            name,
            model,
            words,
            on_step=steps.take,
            checkpoint=steps.report.checkpoint,
            timeout_s=timeout_s,
        )

    def _call(self, method: Any) -> Any:
        def run(api: APIClient) -> Any:
            return method(api)

        return self._client.call(run)


class _Steps:
    """Compose's progress as a log and a percentage: each container ends as many steps as are awaited."""

    def __init__(self, report: Reporter, span: tuple[float, float], awaited: int) -> None:
        self.report = report
        self._span, self._awaited, self._ended = span, max(awaited, 1), 0

    def take(self, step: Mapping[str, Any]) -> None:
        # Newer ones say “Done” and what was done apart.
        words = [str(step.get(key) or "") for key in ("status", "text")]
        status = next((word for word in words if word and word not in _PHASES), "")
        what = str(step.get("id") or "")
        line = " ".join(word for word in (what, status, str(step.get("message") or "")) if word)
        self._ended += status in _ENDS
        low, high = self._span
        share = min(1.0, self._ended / self._awaited)
        self.report.progress(low + (high - low) * share, line[:250] or "Compose works")


def _complaint(document: Any, text: str) -> Problem:
    """What Compose says of a file, at its place in the text that was given."""
    place, extra, service = _PLACE.search(text), _EXTRA.search(text), _SERVICE.search(text)
    path: list[str] = []
    if place:
        path = [place[1], *re.findall(r"[\w-]+", place[2])]
    elif service:
        path = ["services", service[1]]
    if extra:
        path.append(extra[1])
    for pattern, written in _WORDS:
        text = pattern.sub(written, text)
    if extra:
        text = tell(f"“{extra[1]}” is not known here; check its spelling and indentation")
    name = path[1] if path[:1] == ["services"] and len(path) > 1 else ""
    return Problem(text.strip()[:500], document.line(*path) if path else None, name)
