"""Backups of containers: an image of what it wrote into its own layer, each of its volumes as a tar, and its
settings. Everything streams, from engine to target and back.

A restored container stands on an image of its own, which is kept as its first snapshot: it goes with the
container, and belongs to its project.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from docker import APIClient
from docker.errors import APIError

from compute.backends.backup import BackupSink, BackupSource, BackupSpec, RestoreNames
from compute.backends.room import room_check, room_error
from compute.backends.types import (
    LABEL_INSTANCE,
    LABEL_OPERATION,
    LABEL_PROJECT,
    InstanceInfo,
    InstanceSpec,
    Reporter,
    UndoStep,
)
from compute.errors import BackendError, ImageNotFound, NameConflict
from compute.tell import tell
from dockerapp.engine.claims import claims_make
from dockerapp.engine.client import EngineClient, as_list
from dockerapp.engine.containers import Commit, Containers
from dockerapp.engine.errors import engine_errors, reason
from dockerapp.engine.helpers import HELPER_ROOT, MARKS, Helpers
from dockerapp.engine.host import disk_free
from dockerapp.engine.inspect import inspect_info
from dockerapp.engine.lifecycle import container_create, is_anonymous
from dockerapp.engine.snapshots import LABEL_SNAPSHOT, UNDO_SNAPSHOT, snapshot_undo
from dockerapp.engine.spec import clone_config
from dockerapp.engine.volumes import Volumes
from dockerapp.references import SNAPSHOTS

UNDO_LOADED, UNDO_HELPERS = "restore_image", "restore_helpers"
IMAGE_PART = "image.tar"
_CHUNK = 1024 * 1024
# An engine that says nothing for so long in the middle of a stream has gone away.
_SILENCE_S = 600.0
_LOADED = re.compile(r"Loaded image(?: ID)?: (sha256:[0-9a-f]{64})")
_FAILED = re.compile(r'"error":\s*"([^"]{1,300})')


def backup_omits(storage: Sequence[Mapping[str, Any]]) -> list[str]:
    """Paths of the host are not the container's own."""
    return [
        f"What is mounted at {item['target']} is a path of the host: not in a backup."
        for item in storage
        if item["format"] == "bind"
    ]


def container_backup(
    client: EngineClient,
    containers: Containers,
    engine_id: str,
    wanted: BackupSpec,
    sink: BackupSink,
    report: Reporter,
) -> dict[str, Any]:
    """Its definition: ``config``, ``image_id`` (of the image in the backup) and ``volumes``. Volumes of one
    that runs are read while it writes; what it keeps consistent only in memory is its own affair."""
    doc = client.call(lambda api: api.inspect_container(engine_id))
    volumes = _volumes_of(doc)
    image_id = _image_give(client, containers, engine_id, wanted, sink, report)
    for number, (name, part) in enumerate({item["name"]: item["part"] for item in volumes}.items()):
        report.progress(50 + 44 * number / len(volumes), f"Copying the volume {name[:40]}")
        _volume_give(client, name, part, wanted, sink)
    info = inspect_info(doc)
    for text in backup_omits([asdict(item) for item in info.storage]):
        report.log(text)
    return {"config": dict(info.config), "image_id": image_id, "volumes": volumes}


def backup_config(definition: Mapping[str, Any], wanted: RestoreNames) -> dict[str, Any]:
    """As it was; beside the one it was taken of without fixed addresses and ports of the host. A volume
    whose name is taken is given another; one without a name has none again."""
    given = definition["config"]
    config = clone_config(given) if wanted.beside else dict(given)
    for key in ("volumes_from", "registry"):
        config.pop(key, None)
    renamed: dict[str, str] = {}
    for volume in definition["volumes"]:
        renamed.setdefault(volume["name"], _name_for(volume["name"], wanted, set(renamed.values())))
    mounts = [_renamed(str(item), renamed) for item in config.get("volumes") or []]
    have = {item.split(":")[1] for item in mounts if ":" in item}
    for volume in definition["volumes"]:
        if volume["target"] not in have:
            mode = ":ro" if volume["read_only"] else ""
            mounts.append(f"{renamed[volume['name']]}:{volume['target']}{mode}")
    alone = [item for item in mounts if ":" not in item and item in have]
    return {**config, "volumes": [item for item in mounts if item not in alone], "pull": "missing"}


def container_restore(
    client: EngineClient, containers: Containers, spec: InstanceSpec, source: BackupSource, report: Reporter
) -> InstanceInfo:
    """The image, the volumes with what was in them, and then the container around them."""
    definition = source.definition
    needed, free = _needed_bytes(client, source), disk_free(client)
    room_check(tell(f"The disk of {client.node.name}"), free, needed)
    if free is None:
        report.log(
            f"How much room {client.node.name} has is not known: its engine does not tell. Up to "
            f"{-(-needed // 1024**2)} MiB are needed; if they are not there, what was made is taken back."
        )
    reference = _image_bring(client, containers, spec, source, report)
    claims_make(client, spec, report)
    report.undo(UndoStep(UNDO_HELPERS, {}))
    by_target = {
        parts[1]: parts[0] for item in spec.config.get("volumes") or [] if len(parts := item.split(":")) > 1
    }
    filled: set[str] = set()
    for number, volume in enumerate(definition["volumes"]):
        name = by_target.get(volume["target"], "")
        if name and name not in filled:
            filled.add(name)
            report.progress(40 + 30 * number / len(definition["volumes"]), f"Filling the volume {name[:40]}")
            _volume_fill(client, name, volume["part"], spec, source)
    config = {**spec.config, "image": reference, "pull": "never"}
    return container_create(client, replace(spec, config=config, secrets={}), report)


def restore_undo(client: EngineClient, step: UndoStep) -> None:
    """Helpers first, which hold volumes; an image only when the restore brought it and nothing uses it."""
    if step.kind == UNDO_HELPERS:
        Helpers(client).sweep()
        return
    if not step.ref["had"]:
        _image_drop(client, str(step.ref["image_id"]))


def _needed_bytes(client: EngineClient, source: BackupSource) -> int:
    """What the engine takes in at most at one time: it unpacks a whole image before it looks which layers it
    has already, and then the volumes come."""
    image = source.size_bytes(IMAGE_PART)
    parts = {volume["part"] for volume in source.definition["volumes"]}
    volumes = sum(source.size_bytes(part) for part in parts)
    return max(image, volumes) if _has_image(client, str(source.definition["image_id"])) else image + volumes


# -- the image ----------------------------------------------------------------------------------


def _image_give(
    client: EngineClient,
    containers: Containers,
    engine_id: str,
    wanted: BackupSpec,
    sink: BackupSink,
    report: Reporter,
) -> str:
    report.progress(5, "Keeping what it wrote")
    repository, tag = f"{SNAPSHOTS}/{wanted.instance_id}", f"backup-{wanted.operation_id[:8]}"
    step = UndoStep(UNDO_SNAPSHOT, {"reference": f"{repository}:{tag}", "operation_id": wanted.operation_id})
    report.undo(step)
    labels = {LABEL_PROJECT: wanted.project_id, LABEL_OPERATION: wanted.operation_id, LABEL_INSTANCE: ""}
    image_id = containers.commit(
        engine_id, Commit(repository, tag, "LibGo backup", changes=_labelled(labels))
    )
    report.progress(15, "Copying its image")
    # By its id: a name in the file would be given to it wherever it is loaded.
    sink.part(IMAGE_PART, _stream(client, lambda api: api._url("/images/{0}/get", image_id), {}))
    snapshot_undo(client, step)
    return image_id


def _image_bring(
    client: EngineClient, containers: Containers, spec: InstanceSpec, source: BackupSource, report: Reporter
) -> str:
    """Load it, and give it the marks of the new instance; its name there."""
    report.progress(5, "Loading its image")
    known = str(source.definition["image_id"])
    report.undo(UndoStep(UNDO_LOADED, {"image_id": known, "had": _has_image(client, known)}))
    loaded = _load(client, source.part(IMAGE_PART))
    repository, tag = f"{SNAPSHOTS}/{spec.instance_id}", "restored"
    ref = {"reference": f"{repository}:{tag}", "operation_id": spec.operation_id}
    report.undo(UndoStep(UNDO_SNAPSHOT, ref))
    report.undo(UndoStep(UNDO_HELPERS, {}))
    config = client.call(lambda api: api.inspect_image(loaded)).get("Config") or {}
    helpers = Helpers(client)
    maker = helpers.carrier(loaded, [] if config.get("Cmd") or config.get("Entrypoint") else ["true"])
    labels = {
        LABEL_OPERATION: spec.operation_id,
        LABEL_PROJECT: spec.project_id,
        LABEL_SNAPSHOT: spec.instance_id,
        **dict.fromkeys((LABEL_INSTANCE, *MARKS), ""),
    }
    try:
        containers.commit(maker, Commit(repository, tag, "LibGo restore", changes=_labelled(labels)))
    finally:
        helpers.remove(maker)
    return f"{repository}:{tag}"


def _labelled(labels: Mapping[str, str]) -> list[str]:
    return [f"LABEL {key}={value or chr(34) * 2}" for key, value in labels.items()]


def _load(client: EngineClient, chunks: Iterable[bytes]) -> str:
    def post(api: APIClient) -> str:
        headers = {"Content-Type": "application/x-tar"}
        url = api._url("/images/load")
        answer = api._post(url, data=chunks, headers=headers, params={"quiet": "1"}, timeout=_SILENCE_S)
        api._raise_for_status(answer)
        return str(answer.text)

    text = client.call(post)
    found, failed = _LOADED.search(text), _FAILED.search(text)
    if failed or not found:
        said = failed[1] if failed else text[:200]
        full = room_error(said, tell(f"The disk of {client.node.name}"))
        raise full or BackendError(f"Docker did not take the image: {reason(said)}")
    return found[1]


def _has_image(client: EngineClient, image_id: str) -> bool:
    try:
        client.call(lambda api: api.inspect_image(image_id))
    except ImageNotFound:
        return False
    return True


def _image_drop(client: EngineClient, image_id: str) -> None:
    def drop(api: APIClient) -> None:
        try:
            api.remove_image(image_id)
        except APIError as error:
            # Gone already, or something stands on it by now.
            if error.status_code not in (404, 409):
                raise

    client.call(drop)


# -- volumes ------------------------------------------------------------------------------------


def _volumes_of(doc: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each mount of a volume with the part that holds its content; two of one volume share it."""
    found: list[dict[str, Any]] = []
    parts: dict[str, str] = {}
    for mount in as_list(doc.get("Mounts")):
        name = str(mount.get("Name") or "")
        if mount.get("Type") != "volume" or not name:
            continue
        part = parts.setdefault(name, f"volume-{len(parts) + 1}.tar")
        target, is_writable = str(mount.get("Destination", "")), bool(mount.get("RW", True))
        found.append({"name": name, "target": target, "part": part, "read_only": not is_writable})
    return found


def _volume_give(client: EngineClient, name: str, part: str, wanted: BackupSpec, sink: BackupSink) -> None:
    helpers = Helpers(client)
    helper = helpers.make(name, project_id=wanted.project_id, writable=False)
    try:
        path = {"path": HELPER_ROOT}
        sink.part(part, _stream(client, lambda api: api._url("/containers/{0}/archive", helper), path))
    finally:
        helpers.remove(helper)


def _volume_fill(
    client: EngineClient, name: str, part: str, spec: InstanceSpec, source: BackupSource
) -> None:
    """Only one that this restore made. It is filled before a container sees it, because an engine copies
    what the image has there into an empty one."""
    if Volumes(client).mark(name) != (spec.project_id, spec.operation_id):
        raise NameConflict(f"Somebody made a volume “{name}” on this node meanwhile. Try again.", name=name)
    helpers = Helpers(client)
    helper = helpers.make(name, project_id=spec.project_id, writable=True, whole=True)

    def put(api: APIClient) -> None:
        url, chunks = api._url("/containers/{0}/archive", helper), source.part(part)
        answer = api._put(url, params={"path": "/"}, data=chunks, timeout=_SILENCE_S)
        api._raise_for_status(answer)

    try:
        client.call(put)
    finally:
        helpers.remove(helper)


def _name_for(name: str, wanted: RestoreNames, given: set[str]) -> str:
    if is_anonymous(name):
        return secrets.token_hex(32)
    taken = wanted.taken.get("volume", frozenset()) | given
    if name not in taken:
        return name
    beside = f"{wanted.name}-{name}"[:200]
    return beside if beside not in taken else f"{beside}-{secrets.token_hex(4)}"


def _renamed(item: str, names: Mapping[str, str]) -> str:
    source, colon, rest = item.partition(":")
    return f"{names.get(source, source)}{colon}{rest}"


def _stream(
    client: EngineClient, url: Callable[[APIClient], str], params: Mapping[str, str]
) -> Iterator[bytes]:
    """An answer as it comes. Raises what the engine does, also in the middle."""

    def ask(api: APIClient) -> Any:
        headers = {"Accept-Encoding": "identity"}
        answer = api._get(url(api), params=dict(params), headers=headers, stream=True, timeout=_SILENCE_S)
        api._raise_for_status(answer)
        return answer

    answer = client.call(ask)
    try:
        with engine_errors(client.node.name):
            yield from answer.iter_content(_CHUNK)
    finally:
        answer.close()
