"""Images, on the worker's side. Passwords are looked up here, at the moment they are needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from compute.errors import ComputeError, ImageInUse
from compute.execution.handlers import Handler, Work, observe
from compute.models import Instance, Resource
from compute.sealing import unseal
from compute.selectors.access import operation_actor
from compute.selectors.page import time_text
from compute.tell import tell
from dockerapp.credentials import Credentials
from dockerapp.engine.build import BuildSpec, context_of
from dockerapp.engine.context import context_watched, tar_plain
from dockerapp.handlers.common import BoundedLog, docker
from dockerapp.models import Registry
from dockerapp.references import reference_parse
from dockerapp.selectors.registries import credentials_all, credentials_at, credentials_of
from dockerapp.services.build_policy import dockerfile_check, triggers_check

# What a packed context may unpack to.
_CONTEXT_MAX = 64 * 1024**3
_NAMES_SHOWN = 10


def _pull(work: Work) -> dict[str, Any]:
    params = work.operation.params
    image_id = docker(work).images.pull(params["image"], work.report, _credentials(work), params["platform"])
    observe(work, "image")
    return _result(work, image_id)


def _push(work: Work) -> dict[str, Any]:
    pushed = docker(work).images.push(work.operation.params["image"], work.report, _credentials(work))
    observe(work, "image")
    return {"image": work.operation.params["image"], **pushed}


def _build(work: Work) -> dict[str, Any]:
    params, log = work.operation.params, BoundedLog(work.report)
    spec = BuildSpec(
        tag=params["tag"],
        dockerfile=params["dockerfile"] if params["text"] is None else "Dockerfile",
        build_args=unseal(params["build_args"]) or {},
        **{key: params[key] for key in _AS_GIVEN},
    )
    try:
        body = _context(work, spec)
        image_id = docker(work).images.build(
            # Whom the policy holds, has had it asked of the newest already.
            spec if operation_actor(work.operation).is_admin else replace(spec, pull=False),
            work.report,
            body=body,
            credentials=credentials_all(work.operation.project_id),
            log=log,
        )
    finally:
        log.close()
    observe(work, "image")
    return _result(work, image_id)


_AS_GIVEN = "remote labels target network platform no_cache pull cpu_cores memory_bytes".split()


def _context(work: Work, spec: BuildSpec) -> Iterable[bytes] | None:
    """What is sent to the engine. The Dockerfile is held against the policy before it, of an upload on its
    way."""
    text, actor = work.operation.params["text"], operation_actor(work.operation)

    def look(dockerfile: str) -> None:
        for image in sorted(dockerfile_check(actor, work.node, dockerfile, spec.build_args)):
            triggers_check(actor, work.node, image, _triggers(work, spec, image))

    if text is not None:
        look(text)
        return [context_of(text)]
    if spec.remote:
        return None
    tar = tar_plain(work.body, _CONTEXT_MAX)
    return tar if actor.is_admin else context_watched(tar, spec.dockerfile, look)


def _triggers(work: Work, spec: BuildSpec, image: str) -> Sequence[str]:
    """What a base image brings along: it is there afterwards, and the build stands on this very one."""
    credentials = credentials_at(work.operation.project_id, reference_parse(image))
    return docker(work).images.base(image, work.report, credentials, platform=spec.platform, again=spec.pull)


def _tag(work: Work) -> dict[str, Any]:
    params = work.operation.params
    docker(work).images.tag(params["image"], params["name"])
    observe(work, "image")
    return _result(work, params["image"])


def _delete(work: Work) -> dict[str, Any]:
    params = work.operation.params
    try:
        removed = docker(work).images.remove(
            params["image"], force=params["force"], prune_parents=params["prune"]
        )
    except ImageInUse as error:
        raise _named_users(work, error) from error
    observe(work, "image")
    return dict(removed)


def _named_users(work: Work, error: ImageInUse) -> ComputeError:
    """Who uses it, by name: only administrators remove images, and they see all."""
    params = work.operation.params
    users = Instance.objects.filter(node=work.node, image_id=params["engine_id"]).order_by("name")
    names = list(users.values_list("name", flat=True))
    if not names:
        return error
    shown = ", ".join(names[:_NAMES_SHOWN]) + (" and more" if len(names) > _NAMES_SHOWN else "")
    plural = "containers use" if len(names) > 1 else "container uses"
    return ImageInUse(
        f"{len(names)} {plural} “{params['image'][:100]}”: {shown}. Remove them first.",
        image=params["image"],
        instances=names[:100],
    )


def _prune_preview(work: Work) -> dict[str, Any]:
    found = docker(work).images.prune_preview(work.report, unused=work.operation.params["unused"])
    return {**found, "count": len(found["items"]), "dry_run": True}


def _prune(work: Work) -> dict[str, Any]:
    work.report.progress(10, "Removing images that nothing uses")
    found = docker(work).images.prune(unused=work.operation.params["unused"])
    observe(work, "image")
    return {**found, "count": len(found["deleted"]), "dry_run": False}


def _load(work: Work) -> dict[str, Any]:
    body = tar_plain(work.body, _CONTEXT_MAX)
    names = docker(work).images.load(body, work.operation.params["size"], work.report)
    observe(work, "image")
    return {"images": names}


def _import(work: Work) -> dict[str, Any]:
    params = work.operation.params
    image_id = docker(work).images.import_tar(
        tar_plain(work.body, _CONTEXT_MAX),
        params["size"],
        work.report,
        image=params["image"],
        message=params["message"],
        changes=params["changes"],
    )
    observe(work, "image")
    return _result(work, image_id)


def _registry_test(work: Work) -> dict[str, Any]:
    """A refusal is an answer, not a failure."""
    row = Registry.objects.filter(pk=work.operation.params["registry"]).first()
    if row is None:
        return {"ok": False, "message": "The registry was removed."}
    known = credentials_of(row) or Credentials(row.host, "", "")
    try:
        docker(work).images.log_in(known)
    except ComputeError as error:
        return {"ok": False, "message": error.message, "code": error.code}
    if row.username:
        message = tell(f"{row.host} lets {work.node.name} in as {row.username}.")
    else:
        message = tell(f"{row.host} lets {work.node.name} in without a log-in.")
    return {"ok": True, "message": message}


def _credentials(work: Work) -> Credentials | None:
    params = work.operation.params
    found = credentials_at(work.operation.project_id, reference_parse(params["image"]), params["registry"])
    if found:
        work.report.log(tell(f"Logged in at {found.host} as {found.username}"))
    return found


def _result(work: Work, engine_id: str) -> dict[str, Any]:
    row = Resource.objects.filter(node=work.node, kind="image", engine_id=engine_id).first()
    if row is None:
        return {"image": {"engine_id": engine_id}}
    shown = {
        "id": str(row.pk),
        "name": row.name,
        "engine_id": engine_id,
        "size_bytes": row.size_bytes,
        "created_at": time_text(row.created_at),
    }
    return {"image": {**shown, **{key: row.data.get(key) or [] for key in ("tags", "digests")}}}


HANDLERS: dict[str, Handler] = {
    "image.pull": _pull,
    "image.push": _push,
    "image.build": _build,
    "image.tag": _tag,
    "image.delete": _delete,
    "image.prune_preview": _prune_preview,
    "image.prune": _prune,
    "image.load": _load,
    "image.import": _import,
    "registry.test": _registry_test,
}
