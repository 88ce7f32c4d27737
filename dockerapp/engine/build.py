"""Build images with the engine's classic builder; its output line by line, without escape codes."""

from __future__ import annotations

import io
import json
import re
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from docker import APIClient

from compute.backends.types import Reporter, UndoStep
from compute.errors import (
    BackendError,
    BackendTimeout,
    ComputeError,
    ImageNotFound,
    InvalidInput,
    InvalidState,
    NotFound,
)
from dockerapp.credentials import Credentials, config_headers
from dockerapp.engine.client import EngineClient
from dockerapp.engine.errors import reason
from dockerapp.engine.inspect import time_parse
from dockerapp.engine.pull import LayerProgress, image_doc, image_refused, name_restore
from dockerapp.engine.stream import Event, EventStream, stream_follow

UNDO_BUILD = "build"
UNDO_TAG = "build_tag"
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_STEP = re.compile(r"Step (\d{1,4})/(\d{1,4}) : (.*)")
_MADE = re.compile(r" ---> ([0-9a-f]{12})")
_LINE_MAX = 1000
_CPU_PERIOD_US = 100_000
_STEP_ENDS_WITHIN_S = 15.0


@dataclass(frozen=True)
class BuildSpec:
    """One build as asked for. ``remote`` is fetched by the engine instead of a body; limits hold for
    each step (None: the engine's)."""

    tag: str
    dockerfile: str = "Dockerfile"
    remote: str = ""
    build_args: Mapping[str, str] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    network: str = ""
    platform: str = ""
    no_cache: bool = False
    pull: bool = False
    cpu_cores: float | None = None
    memory_bytes: int | None = None

    def params(self) -> dict[str, Any]:
        """The query of ``POST /build`` (API 1.41)."""
        wanted: dict[str, Any] = {
            "t": self.tag,
            "dockerfile": self.dockerfile,
            "remote": self.remote,
            "buildargs": json.dumps(dict(self.build_args)) if self.build_args else "",
            "labels": json.dumps(dict(self.labels)) if self.labels else "",
            "target": self.target,
            "networkmode": self.network,
            "platform": self.platform,
            "nocache": "1" if self.no_cache else "",
            "pull": "1" if self.pull else "",
            "rm": "1",
            "forcerm": "1",
        }
        if self.memory_bytes:
            wanted["memory"] = wanted["memswap"] = self.memory_bytes
        if self.cpu_cores:
            wanted["cpuperiod"] = _CPU_PERIOD_US
            wanted["cpuquota"] = max(1000, int(self.cpu_cores * _CPU_PERIOD_US))
        return {key: value for key, value in wanted.items() if value != ""}


def context_of(dockerfile: str) -> bytes:
    """A build context that holds nothing but this Dockerfile."""
    data, text = io.BytesIO(), dockerfile.encode()
    with tarfile.open(fileobj=data, mode="w") as tar:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size, entry.mode = len(text), 0o644
        tar.addfile(entry, io.BytesIO(text))
    return data.getvalue()


class BuildOutput:
    """Events of the builder into lines and a percentage: a step is as good as another. The percentage
    is an estimate until the end, never falls, and stays below 100 until the image is there."""

    def __init__(self) -> None:
        self.percent, self.step, self.image_id = 0.0, "Sending the context", ""
        # Layers that this build made, as far as it says; those of its cache were there before.
        self.made: list[str] = []
        self._from_cache = self._is_base = False
        self._number, self._count, self._partial = 0, 1, ""
        self._layers = LayerProgress()

    def feed(self, event: Event) -> list[str]:
        """The lines that the event completes."""
        aux = event.get("aux")
        if isinstance(aux, Mapping) and aux.get("ID"):
            self.image_id = str(aux["ID"])[:100]
        if event.get("status"):
            line = self._layers.line(event)
            self._advance(self._layers.feed(event) / 100)
            return [line_clean(line)] if line else []
        *lines, self._partial = (self._partial + str(event.get("stream") or "")).split("\n")
        if len(self._partial) > _LINE_MAX:
            lines, self._partial = [*lines, self._partial], ""
        return [kept for line in lines if (kept := self._line(line))]

    def _line(self, raw: str) -> str:
        line = line_clean(raw)
        step = _STEP.fullmatch(line)
        if step:
            self._number, self._count = int(step[1]), max(1, int(step[2]))
            self._is_base = step[3].upper().startswith("FROM ")
            self._from_cache, self._layers = False, LayerProgress()
            self.step = line[:200]
            self._advance(0)
            # Whoever shows the step logs it.
            return ""
        if line == " ---> Using cache":
            self._from_cache = True
        made = _MADE.fullmatch(line)
        if made and not self._from_cache and not self._is_base:
            self.made.append(made[1])
        return line

    def _advance(self, share: float) -> None:
        self.percent = max(self.percent, min(99.0, 100 * (self._number - 1 + share) / self._count))


def image_build(
    client: EngineClient,
    spec: BuildSpec,
    report: Reporter,
    *,
    body: Iterable[bytes] | None,
    credentials: Iterable[Credentials] = (),
    log: Callable[[str], None] | None = None,
) -> str:
    """The id of the new image. What a build had made that did not end well is recorded for undo, so
    nothing of it stays. ``body`` is the context as a tar; None with ``spec.remote``."""
    output, say, recorded = BuildOutput(), log or report.log, 0
    most_s = client.node.build_timeout_s
    deadline = time.monotonic() + most_s
    began = str(client.call(lambda api: api.info()).get("SystemTime", ""))
    before = image_doc(client, spec.tag)
    report.undo(UndoStep(UNDO_TAG, {"tag": spec.tag, "before": str(before["Id"]) if before else ""}))

    def post(api: APIClient, sent: Any) -> Any:
        headers = {**config_headers(credentials), "Content-Type": "application/x-tar"}
        url = api._url("/build")
        return api._post(url, params=spec.params(), data=sent, headers=headers, stream=True, timeout=None)

    def each(event: Event) -> None:
        nonlocal recorded
        if time.monotonic() > deadline:
            raise BackendTimeout(
                f"The build took longer than {most_s:.0f} s and was given up (docker.buildTimeout).",
                step=output.step,
            )
        for line in output.feed(event):
            say(line)
        if len(output.made) > recorded:
            new, recorded = output.made[recorded:], len(output.made)
            report.undo(UndoStep(UNDO_BUILD, {"images": new, "began": began}))
        if output.image_id:
            return
        step = output.step
        if not event and not output.percent and stream.sent:
            step = f"Sending the context, {stream.sent / 1024**2:.0f} MiB so far"
        report.progress(output.percent, step)

    stream = EventStream(client, post, _explain(spec, output), body)
    stream_follow(stream, each)
    if not output.image_id:
        raise BackendError("The build ended without an image.", step=output.step)
    return output.image_id


def build_undo(client: EngineClient, step: UndoStep) -> None:
    """Remove the layers of a build that did not end well, youngest first: only such as have no name
    and are no older than the build. What another build took over meanwhile stays. The name means
    again what it meant before."""
    if step.kind == UNDO_TAG:
        name_restore(client, step.ref["tag"], step.ref["before"])
        return
    began = time_parse(step.ref["began"])
    for short_id in reversed(step.ref["images"]):
        found = image_doc(client, short_id)
        if found is None or found.get("RepoTags") or not str(found["Id"]).startswith(f"sha256:{short_id}"):
            continue
        made = time_parse(str(found.get("Created", "")))
        if began is not None and (made is None or made < began):
            continue
        _layer_remove(client, str(found["Id"]))


def _layer_remove(client: EngineClient, image_id: str) -> None:
    """The engine takes a moment to end the container of the step that was given up."""
    deadline = time.monotonic() + _STEP_ENDS_WITHIN_S
    while True:
        try:
            client.call(lambda api: api.remove_image(image_id, noprune=True))
        except NotFound:
            return
        except InvalidState as error:
            if "container" not in error.message or time.monotonic() > deadline:
                return
            time.sleep(0.2)
        else:
            return


def line_clean(text: str) -> str:
    """One line without escape codes and control characters; of a line that was drawn over and over
    (a progress bar) its last form."""
    drawn = _ESCAPES.sub("", text[: 4 * _LINE_MAX]).rstrip("\r").rpartition("\r")[2]
    return _CONTROLS.sub("", drawn).rstrip()[:_LINE_MAX]


def _explain(spec: BuildSpec, output: BuildOutput) -> Callable[[int, str], ComputeError]:
    def explain(status: int, text: str) -> ComputeError:
        return _refused(spec, output, status, line_clean(text.strip().replace("\n", " ")))

    return explain


def _refused(spec: BuildSpec, output: BuildOutput, status: int, text: str) -> ComputeError:
    lowered = text.lower()
    if "dockerfile" in lowered and ("cannot locate" in lowered or "no such file" in lowered):
        return InvalidInput.field("dockerfile", f"there is no “{spec.dockerfile}” in the context.")
    if "build target" in lowered or "target stage" in lowered:
        return InvalidInput.field("target", f"the Dockerfile has no stage “{spec.target}”.")
    if "requires buildkit" in lowered or "the --mount option" in lowered:
        return InvalidInput.field("dockerfile", f"needs BuildKit, which LibGo does not use: {reason(text)}")
    if status == 400 or "dockerfile" in lowered or "unknown instruction" in lowered:
        return InvalidInput.field("dockerfile", f"was refused: {reason(text)}")
    base = re.match(r"Step \d+/\d+ : FROM (\S+)", output.step)
    if base and not output.made:
        refused = image_refused(base[1], "pull", status, text)
        if isinstance(refused, ImageNotFound):
            return ImageNotFound(f"The build stopped at its base image: {refused.message}", image=base[1])
    at = f" at “{output.step}”" if output.step.startswith("Step ") else ""
    return BackendError(f"The build failed{at}: {reason(text)}", step=output.step)
