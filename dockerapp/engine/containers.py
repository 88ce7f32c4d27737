"""What only Docker can do with its containers, as one facet of the backend."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiodocker
import aiohttp

from compute.backends.types import InstanceInfo, Reporter, Resources, Usage
from compute.errors import BackendUnavailable, InvalidState
from dockerapp.engine import lifecycle
from dockerapp.engine.client import EngineClient, as_list
from dockerapp.engine.detail import container_detail
from dockerapp.engine.exposure import Exposure, exposure_of
from dockerapp.engine.logs import stream_error
from dockerapp.engine.replace import Replacement, container_replace
from dockerapp.engine.stats import UsageReader

_CHANGES = {0: "modified", 1: "added", 2: "deleted"}
_CHANGES_MAX = 10_000
_TOP_MAX = 5_000
# Writing a large layer takes its time.
_COMMIT_S = 1800


@dataclass(frozen=True)
class Commit:
    """``changes`` are instructions of a Dockerfile, checked by the caller."""

    repository: str
    tag: str
    message: str = ""
    author: str = ""
    pause: bool = True
    changes: Sequence[str] = ()


class Containers:
    """What one engine can do with containers beside the life cycle that all backends share. Every
    method takes engine ids and raises only ``ComputeError``."""

    def __init__(self, client: EngineClient, usage: UsageReader) -> None:
        self._client = client
        self._usage = usage

    def exposure(self, engine_id: str) -> Exposure:
        """What of the host it reaches. While an archive of it is read the engine answers afterwards."""
        return exposure_of(self._client.call(lambda api: api.inspect_container(engine_id)))

    def detail(self, engine_id: str, *, size: bool = False) -> dict[str, Any]:
        """See ``engine/detail.py``. ``size`` makes the engine count, which may take seconds."""

        def inspect(api: Any) -> Any:
            url = api._url("/containers/{0}/json", engine_id)
            return api._result(api._get(url, params={"size": "1" if size else "0"}), True)

        return container_detail(self._client.call(inspect, quick=not size))

    def matching(self, filters: Mapping[str, Sequence[str]], *, stopped: bool) -> list[str]:
        """The ids of all containers that the engine's own filters let through, newest first."""
        asked = {key: list(values) for key, values in filters.items()}
        return [
            str(row["Id"])
            for row in self._client.call(lambda api: api.containers(all=stopped, filters=asked), quick=True)
        ]

    def sizes(self) -> dict[str, int]:
        """How many bytes each container wrote into its own layer."""
        rows = self._client.call(lambda api: api.containers(all=True, size=True))
        return {str(row["Id"]): int(row.get("SizeRw") or 0) for row in rows}

    def top(self, engine_id: str, arguments: str) -> dict[str, Any]:
        """``{"titles", "processes": [[...]], "truncated"}``. Raises ``InvalidState`` when it is off."""
        doc = self._client.call(lambda api: api.top(engine_id, arguments or None), quick=True)
        rows = [[str(cell) for cell in row] for row in as_list(doc.get("Processes"))]
        return {
            "titles": [str(word) for word in as_list(doc.get("Titles"))],
            "processes": rows[:_TOP_MAX],
            "truncated": len(rows) > _TOP_MAX,
        }

    def changes(self, engine_id: str) -> dict[str, Any]:
        """``{"items": [{"path", "kind"}], "total", "truncated"}`` against its image."""
        rows = as_list(self._client.call(lambda api: api.diff(engine_id)))
        items = [
            {"path": str(row.get("Path", "")), "kind": _CHANGES.get(row.get("Kind"), "modified")}
            for row in rows[:_CHANGES_MAX]
        ]
        return {"items": items, "total": len(rows), "truncated": len(rows) > _CHANGES_MAX}

    def usage(self, engine_id: str) -> Usage:
        """A fresh sample. Raises ``InvalidState`` when it does not run."""
        return self._usage.one(engine_id)

    def resize(self, engine_id: str, *, height: int, width: int) -> None:
        """The size of the terminal of its first process."""
        self._client.call(lambda api: api.resize(engine_id, height=height, width=width), quick=True)

    def rename(self, engine_id: str, name: str) -> None:
        lifecycle.container_rename(self._client, engine_id, name)

    def update(self, engine_id: str, resources: Resources, changes: Mapping[str, Any]) -> InstanceInfo:
        """New limits and ``CHANGEABLE`` settings in one call."""
        return lifecycle.container_update(self._client, engine_id, resources, changes)

    def remove_stopped(self, engine_id: str) -> None:
        """Removed unless it runs (``InvalidState``); its volumes stay."""
        lifecycle.container_remove(self._client, engine_id, volumes=False, force=False)

    def replace(self, wanted: Replacement, report: Reporter) -> InstanceInfo:
        """See ``engine/replace.py``."""
        return container_replace(self._client, wanted, report)

    def commit(self, engine_id: str, wanted: Commit) -> str:
        """The id of the new image."""

        def commit(api: Any) -> str:
            params = {
                "container": engine_id,
                "repo": wanted.repository,
                "tag": wanted.tag,
                "comment": wanted.message,
                "author": wanted.author,
                "pause": "1" if wanted.pause else "0",
            }
            if wanted.changes:
                # The engine takes an empty text for a file without instructions.
                params["changes"] = "\n".join(wanted.changes)
            answer = api._post_json(api._url("/commit"), data={}, params=params, timeout=_COMMIT_S)
            return str(api._result(answer, True)["Id"])

        return self._client.call(commit)

    async def wait(self, engine_id: str, condition: str, timeout_s: float) -> int | None:
        """Its exit code once ``condition`` (not-running, next-exit, removed) holds; None when it did not
        come true in time."""
        await asyncio.to_thread(self._client.negotiated)
        docker = self._client.stream_client()
        path, params = f"containers/{engine_id}/wait", {"condition": condition}
        try:
            query = docker.object(path, method="POST", params=params)
            answer = await asyncio.wait_for(query, timeout_s)
        except asyncio.TimeoutError:
            return None
        except aiodocker.DockerError as error:
            raise stream_error(self._client.node.name, error) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise BackendUnavailable(f"Docker on {self._client.node.name} ended the stream.") from error
        finally:
            await docker.close()
        problem = (answer.get("Error") or {}).get("Message")
        if problem:
            raise InvalidState(f"The engine gave up waiting: {str(problem)[:200]}")
        return int(answer.get("StatusCode") or 0)
