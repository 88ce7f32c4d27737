"""Images as files: saved to, loaded from and imported out of tar streams."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

import aiodocker
import aiohttp
from docker import APIClient

from compute.backends.room import room_error
from compute.backends.types import Reporter
from compute.errors import BackendError, BackendUnavailable, ComputeError, ImageNotFound, InvalidInput
from compute.tell import tell
from dockerapp.engine.build import line_clean
from dockerapp.engine.client import EngineClient
from dockerapp.engine.errors import reason
from dockerapp.engine.pull import LayerProgress, reference_split
from dockerapp.engine.stream import Event, EventStream, stream_follow

_CHUNK = 256 * 1024
_MIB = 1024**2
_LOADED = re.compile(r"Loaded image(?: ID)?: (\S+)")
_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")


async def images_save(client: EngineClient, names: Sequence[str]) -> AsyncIterator[bytes]:
    """One tar with all of them, as the engine makes it. Raises before the first chunk when it refuses."""
    docker = client.stream_client()
    try:
        # The library takes a mapping of parameters, in which no name can stand twice.
        asked = urlencode([("names", name) for name in names])
        async with docker._query(f"images/get?{asked}", timeout=None) as response:
            async for chunk in response.content.iter_chunked(_CHUNK):
                yield chunk
    except aiodocker.DockerError as error:
        if error.status == 404:
            raise ImageNotFound(f"The engine has no such image: {reason(str(error.message))}") from error
        full = room_error(str(error.message), tell(f"The disk of {client.node.name}"))
        raise full or BackendError(f"Docker refused to save it: {reason(str(error.message))}") from error
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
        raise BackendUnavailable(f"Docker on {client.node.name} ended the stream.") from error
    finally:
        await docker.close()


def images_load(client: EngineClient, body: Iterable[bytes], size: int | None, report: Reporter) -> list[str]:
    """The names (or ids) of what was in the tar. ``size`` is what the body will be, where known."""
    names: list[str] = []
    progress = LayerProgress(unpacks=False)

    def post(api: APIClient, sent: Any) -> Any:
        url = api._url("/images/load")
        headers = {"Content-Type": "application/x-tar"}
        return api._post(url, data=sent, params={"quiet": "0"}, headers=headers, stream=True, timeout=None)

    def each(event: Event) -> None:
        text = line_clean(str(event.get("stream") or ""))
        found = _LOADED.search(text)
        if found:
            names.append(found[1][:255])
        if text:
            report.log(text)
        progress.feed(event)
        _show_sent(report, stream, size)

    stream = EventStream(client, post, _explain("load"), body)
    stream_follow(stream, each)
    if not names:
        raise InvalidInput("The file holds no image. Send a tar as “docker save” or LibGo makes it.")
    return names


def image_import(
    client: EngineClient,
    body: Iterable[bytes],
    size: int | None,
    report: Reporter,
    *,
    image: str,
    message: str = "",
    changes: Sequence[str] = (),
) -> str:
    """The id of an image whose one layer is the tar of a root file system."""
    found: list[str] = []
    repository, tag = reference_split(image)

    def post(api: APIClient, sent: Any) -> Any:
        params: dict[str, Any] = {"fromSrc": "-", "repo": repository, "tag": tag, "message": message}
        params["changes"] = list(changes)
        url, headers = api._url("/images/create"), {"Content-Type": "application/x-tar"}
        return api._post(url, data=sent, params=params, headers=headers, stream=True, timeout=None)

    def each(event: Event) -> None:
        status = str(event.get("status", ""))
        if _IMAGE_ID.fullmatch(status):
            found.append(status)
        elif status:
            report.log(line_clean(status))
        _show_sent(report, stream, size)

    stream = EventStream(client, post, _explain("import"), body)
    stream_follow(stream, each)
    if not found:
        raise BackendError("The import ended without an image.")
    return found[0]


def _show_sent(report: Reporter, stream: EventStream, size: int | None) -> None:
    """Sending is nearly all of the work; what the engine does afterwards has no measure."""
    percent = min(95.0, 95.0 * stream.sent / size) if size else 0.0
    if size and stream.sent >= size:
        report.progress(percent, "Unpacking")
        return
    whole = f" of {size / _MIB:.0f}" if size else ""
    report.progress(percent, f"Received {stream.sent / _MIB:.0f}{whole} MiB")


def _explain(verb: str) -> Any:
    def explain(status: int, text: str) -> ComputeError:
        lowered = text.lower()
        wrong = ("invalid tar", "unexpected eof", "no such file", "archive", "invalid character", "invalid")
        if status == 400 or any(word in lowered for word in wrong):
            return InvalidInput(f"The file cannot be used to {verb} an image: {reason(text)}")
        return BackendError(f"The {verb} failed: {reason(text)}")

    return explain
