"""Images of one engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

from docker import APIClient
from docker.errors import APIError

from compute.backends.types import LABEL_PROJECT, Reporter, ResourceInfo
from compute.errors import BackendError, ImageInUse, InvalidState
from dockerapp.credentials import Credentials
from dockerapp.engine import build, bundles, prune
from dockerapp.engine.client import EngineClient, as_list, rows_of
from dockerapp.engine.errors import reason
from dockerapp.engine.inspect import time_parse, unix_time
from dockerapp.engine.pull import image_doc, image_pull, image_push, image_refused, reference_split
from dockerapp.references import SNAPSHOTS

_UNTAGGED = "<none>:<none>"
_SEARCH_WITHIN_S = 10.0
_LAYERS_MAX, _LIST_MAX = 500, 200


# The facet's own ``list`` hides the word inside it.
Rows = list[dict[str, Any]]
Names = list[str]


class Images:
    """What one engine can do with images. Every method raises only ``ComputeError``."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client

    def list(self) -> list[ResourceInfo]:
        """One entry an image, whatever its tags; intermediate layers are left out."""
        return [_info(row) for row in rows_of(self._client.call(lambda api: api.images()))]

    def inspect(self, image: str) -> dict[str, Any]:
        """What only the engine tells of one image; a quick question. Raises ``ImageNotFound``."""
        return _details(self._client.call(lambda api: api.inspect_image(image), quick=True))

    def history(self, image: str) -> Rows:
        """Its layers, newest first; a quick question. Raises ``ImageNotFound``."""
        rows = self._client.call(lambda api: api.history(image), quick=True)
        return [_layer(row) for row in rows[:_LAYERS_MAX]]

    def pull(
        self, image: str, report: Reporter, credentials: Credentials | None = None, platform: str = ""
    ) -> str:
        """The id of what the name then means. Raises ``ImageNotFound``, ``BackendError``."""

        def show(percent: float, step: str, line: str) -> None:
            _say(report, line)
            report.progress(min(99.0, percent), step)

        return str(image_pull(self._client, image, show, credentials, platform)["Id"])

    def base(
        self,
        image: str,
        report: Reporter,
        credentials: Credentials | None = None,
        *,
        platform: str = "",
        again: bool = False,
    ) -> Names:
        """The steps that it brings along into each build that stands on it (``ONBUILD``). Pulled before where
        it is not there, and with ``again`` or for a platform in any case. Raises as ``pull``."""

        def show(percent: float, step: str, line: str) -> None:
            _say(report, line)
            report.progress(0.0, step)

        found = None if again or platform else image_doc(self._client, image)
        found = found or image_pull(self._client, image, show, credentials, platform)
        return [str(step) for step in (found.get("Config") or {}).get("OnBuild") or []]

    def push(self, image: str, report: Reporter, credentials: Credentials | None = None) -> dict[str, Any]:
        """``{"digest", "size_bytes"}``. Raises ``ImageNotFound``, ``BackendError``."""

        def show(percent: float, step: str, line: str) -> None:
            _say(report, line)
            report.progress(min(99.0, percent), step)

        return image_push(self._client, image, show, credentials)

    def build(
        self,
        spec: build.BuildSpec,
        report: Reporter,
        *,
        body: Iterable[bytes] | None,
        credentials: Iterable[Credentials] = (),
        log: Callable[[str], None] | None = None,
    ) -> str:
        """The id of the new image; see :func:`dockerapp.engine.build.image_build`."""
        return build.image_build(self._client, spec, report, body=body, credentials=credentials, log=log)

    def tag(self, image: str, name: str) -> None:
        """Another name for it. Raises ``ImageNotFound``."""
        repository, tag = reference_split(name)
        self._client.call(lambda api: api.tag(image, repository, tag, force=True))

    def remove(self, image: str, *, force: bool, prune_parents: bool) -> dict[str, Names]:
        """``{"untagged", "deleted"}``; of an image with several names a name goes, and the image with
        the last. Raises ``ImageInUse``, ``ImageNotFound``."""

        def remove(api: APIClient) -> Any:
            try:
                return api.remove_image(image, force=force, noprune=not prune_parents)
            except APIError as error:
                if error.status_code == 409:
                    raise _in_use(image, str(error.explanation or error)) from error
                raise

        rows = as_list(self._client.call(remove))
        return {
            "untagged": [str(row["Untagged"]) for row in rows if row.get("Untagged")],
            "deleted": [str(row["Deleted"]) for row in rows if row.get("Deleted")],
        }

    def prune_preview(self, report: Reporter, *, unused: bool) -> dict[str, Any]:
        """What :meth:`prune` would remove and free; changes nothing."""
        return prune.prune_preview(self._client, report, unused=unused)

    def prune(self, *, unused: bool) -> dict[str, Any]:
        """Remove images without a name that nothing uses; with ``unused`` those with names too."""
        return prune.prune(self._client, unused=unused)

    def save(self, names: Sequence[str]) -> AsyncIterator[bytes]:
        """One tar with all of them, in an event loop."""
        return bundles.images_save(self._client, names)

    def load(self, body: Iterable[bytes], size: int | None, report: Reporter) -> Names:
        """The names of what was in the tar. Raises ``InvalidInput`` when it holds no image."""
        return bundles.images_load(self._client, body, size, report)

    def import_tar(
        self,
        body: Iterable[bytes],
        size: int | None,
        report: Reporter,
        *,
        image: str,
        message: str = "",
        changes: Sequence[str] = (),
    ) -> str:
        """The id of an image made of a root file system."""
        return bundles.image_import(
            self._client, body, size, report, image=image, message=message, changes=changes
        )

    def search(self, term: str, limit: int) -> Rows:
        """What Docker Hub has under this term, within ten seconds. Raises ``BackendError``."""

        def search(api: APIClient) -> Any:
            params: dict[str, Any] = {"term": term, "limit": limit}
            return api._result(
                api.get(api._url("/images/search"), params=params, timeout=_SEARCH_WITHIN_S), True
            )

        try:
            rows = self._client.call(search)
        except BackendError as error:
            raise BackendError(
                "The node cannot search Docker Hub: it does not reach it. Check the node's internet "
                f"connection. ({error.message})"
            ) from error
        return [_found(row) for row in as_list(rows)[:limit]]

    def log_in(self, credentials: Credentials) -> str:
        """Ask the registry, by way of the engine as a pull would; what it said. Raises
        ``BackendError`` with the reason: wrong password, not reachable, not trusted."""

        def ask(api: APIClient) -> Any:
            response = api._post_json(api._url("/auth"), data=credentials.as_engine(), timeout=15.0)
            return api._result(response, True)

        def safe(api: APIClient) -> Any:
            try:
                return ask(api)
            except APIError as error:
                text = str(error.explanation or error)
                raise _log_in_refused(credentials.host, error.status_code or 0, text) from error

        answer = self._client.call(safe)
        return str(answer.get("Status", "")) if isinstance(answer, Mapping) else ""


def _say(report: Reporter, line: str) -> None:
    if line:
        report.log(line)


def _info(row: Mapping[str, Any]) -> ResourceInfo:
    tags = sorted(str(tag) for tag in as_list(row.get("RepoTags")) if tag != _UNTAGGED)
    digests = sorted(str(word) for word in as_list(row.get("RepoDigests")) if "<none>" not in str(word))
    engine_id = str(row["Id"])
    fallback = f"{digests[0].partition('@')[0]}@…" if digests else "<untagged>"
    labels = row.get("Labels") or {}
    # Labels are inherited, so they say whose an image is only where LibGo alone writes.
    snapshot = bool(tags) and all(tag.startswith(f"{SNAPSHOTS}/") for tag in tags)
    return ResourceInfo(
        kind="image",
        project_id=str(labels.get(LABEL_PROJECT, "")) if snapshot else "",
        engine_id=engine_id,
        name=tags[0] if tags else fallback,
        size_bytes=int(row.get("Size") or 0),
        created_at=unix_time(row.get("Created")),
        data={"tags": tags, "digests": digests, "labels": dict(labels)},
    )


def _details(doc: Mapping[str, Any]) -> dict[str, Any]:
    config = doc.get("Config") or {}
    env = [str(item).partition("=") for item in as_list(config.get("Env"))[:_LIST_MAX]]
    health = config.get("Healthcheck") or {}
    return {
        "architecture": str(doc.get("Architecture", "")),
        "os": str(doc.get("Os", "")),
        "variant": str(doc.get("Variant") or ""),
        "author": str(doc.get("Author", "")),
        "comment": str(doc.get("Comment", "")),
        "parent": str(doc.get("Parent", "")),
        "layers": len(as_list((doc.get("RootFS") or {}).get("Layers"))),
        "last_tagged_at": _stamp((doc.get("Metadata") or {}).get("LastTagTime")),
        "config": {
            "command": _words(config.get("Cmd")),
            "entrypoint": _words(config.get("Entrypoint")),
            "env": {name: value for name, _, value in env},
            "ports": sorted(str(port) for port in (config.get("ExposedPorts") or {}))[:_LIST_MAX],
            "volumes": sorted(str(path) for path in (config.get("Volumes") or {}))[:_LIST_MAX],
            "working_dir": str(config.get("WorkingDir", "")),
            "user": str(config.get("User", "")),
            "stop_signal": str(config.get("StopSignal") or ""),
            "health_check": _words(health.get("Test")) if isinstance(health, Mapping) else [],
        },
    }


def _stamp(text: Any) -> str | None:
    at = time_parse(text)
    # The engine writes the year 1 where it means never.
    return at.isoformat().replace("+00:00", "Z") if at is not None and at.year > 1 else None


def _words(value: Any) -> list[str]:
    given = [value] if isinstance(value, str) else as_list(value)
    return [str(word) for word in given[:_LIST_MAX]]


def _layer(row: Mapping[str, Any]) -> dict[str, Any]:
    created = unix_time(row.get("Created"))
    engine_id = str(row.get("Id", ""))
    return {
        "engine_id": "" if engine_id == "<missing>" else engine_id,
        "created_at": created.isoformat().replace("+00:00", "Z") if created else None,
        "created_by": str(row.get("CreatedBy", ""))[:4000],
        "size_bytes": int(row.get("Size") or 0),
        "tags": sorted(str(tag) for tag in as_list(row.get("Tags"))),
        "comment": str(row.get("Comment", ""))[:500],
    }


def _found(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": str(row.get("name", ""))[:255],
        "description": str(row.get("description", ""))[:1000],
        "stars": int(row.get("star_count") or 0),
        "official": bool(row.get("is_official")),
    }


def _in_use(image: str, text: str) -> ImageInUse | InvalidState:
    lowered = text.lower()
    if "dependent child" in lowered:
        return ImageInUse(
            f"Other images on the node are made from “{image}”; remove them first.", image=image
        )
    if "container" in lowered:
        return ImageInUse(f"“{image}” is in use: {reason(text)}", image=image)
    return InvalidState(
        f"“{image}” has several names. Remove them one by one, or remove it with force.", image=image
    )


def _log_in_refused(host: str, status: int, text: str) -> BackendError:
    lowered = text.lower()
    if any(
        word in lowered for word in ("unauthorized", "incorrect username", "denied", "401", "no basic auth")
    ):
        return BackendError(
            f"The registry {host} answers, but refuses this user name and password.", status=401
        )
    refused = image_refused(f"{host}/x", "log-in", status, text)
    if isinstance(refused, BackendError) and "cannot reach" in refused.message:
        return BackendError(refused.message, status=0)
    if isinstance(refused, BackendError) and "does not trust" in refused.message:
        return BackendError(refused.message.replace(f"of “{host}/x”", host), status=0)
    return BackendError(f"The registry {host} cannot be used: {reason(text)}", status=status)
