"""From what the Docker libraries raise to what LibGo can explain."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import requests
import urllib3
from docker.errors import APIError, DockerException, NotFound
from docker.errors import ImageNotFound as EngineImageNotFound

from compute.errors import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    ComputeError,
    ImageNotFound,
    InstanceNotFound,
    InvalidInput,
    InvalidState,
    NameConflict,
    NetworkNotFound,
    VolumeNotFound,
)

_PATH = re.compile(r"/(?:var|run|etc|proc|sys|tmp|root|home)/\S*")
_PREFIX = re.compile(r"^(?:Error response from daemon|Conflict|driver failed programming[^:]*):\s*", re.I)
# Streams are read below requests, which does not wrap what happens to them there.
_TRANSPORT = (
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    DockerException,
    OSError,
)

# How the container runtime wraps the one part of its sentence that tells something.
_RUNTIME = re.compile(r"^.*(?:unable to start container process|starting container process caused):\s*")
_RUNTIME_END = re.compile(r": unknown\.?$")


@contextmanager
def engine_errors(node_name: str, *, asks_only: bool = False) -> Iterator[None]:
    """Everything raised inside leaves as a ``ComputeError``. ``asks_only``: the call changes nothing,
    so an engine that does not answer is simply unavailable, and no outcome is unknown."""
    try:
        yield
    except ComputeError:
        raise
    except APIError as error:
        raise api_error(node_name, error) from error
    except _TRANSPORT as error:
        raise transport_error(node_name, error, asks_only=asks_only) from error


def api_error(node_name: str, error: APIError) -> ComputeError:
    """An answer of the engine that says no."""
    status = error.status_code or 500
    text = reason(str(error.explanation or error))
    lowered = text.lower()
    if isinstance(error, EngineImageNotFound) or "no such image" in lowered:
        return ImageNotFound(f"The engine has no such image: {text}")
    if isinstance(error, NotFound):
        return _not_found(text)
    if _TOO_OTHER.search(text):
        return _wrong_version(node_name)
    if status == 409 and "already in use" in lowered and "name" in lowered:
        return NameConflict(f"The name is taken on the engine: {text}")
    if status == 409 or "is not running" in lowered or "is paused" in lowered:
        return InvalidState(f"The engine refused: {text}")
    if status == 400:
        return InvalidInput(f"The engine refused the request: {text}")
    return BackendError(f"Docker reported a problem: {text}")


_TOO_OTHER = re.compile(r"client version \S+ is too (?:new|old)", re.I)


def _not_found(text: str) -> ComputeError:
    """The engine answers 404 for whatever is missing, also for what a container refers to."""
    lowered = text.lower()
    if "no such container" not in lowered and "network" in lowered:
        return NetworkNotFound(f"The engine has no such network: {text}")
    if "no such volume" in lowered:
        return VolumeNotFound(f"The engine has no such volume: {text}")
    return InstanceNotFound("The engine has no such container.")


def _wrong_version(node_name: str) -> BackendUnavailable:
    return BackendUnavailable(
        f"Docker on {node_name} cannot be used: it does not speak the API version that is set for it. "
        "Remove docker.apiVersion or choose another.",
        node=node_name,
    )


def transport_error(node_name: str, error: Exception, *, asks_only: bool = False) -> ComputeError:
    """No answer, or not in time."""
    text = f"{error!r}"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        why = "its address does not answer."
        return BackendUnavailable(f"Docker on {node_name} cannot be reached: {why}", node=node_name)
    if _TOO_OTHER.search(text):
        return _wrong_version(node_name)
    if isinstance(error, requests.exceptions.Timeout) or "Read timed out" in text or "timed out" in text:
        if asks_only:
            why = "it takes connections but does not answer."
            return BackendUnavailable(f"Docker on {node_name} cannot be reached: {why}", node=node_name)
        return BackendTimeout(f"Docker on {node_name} did not answer in time.", node=node_name)
    if "FileNotFoundError" in text:
        why = "its socket does not exist. Is the Docker daemon running?"
    elif "ConnectionRefused" in text or "Connection refused" in text:
        why = "the connection was refused. Is the Docker daemon running?"
    elif "PermissionError" in text or "Permission denied" in text:
        why = "LibGo may not use its socket. Add its user to the group docker."
    elif "SSL" in text or "TLS" in text or "CERTIFICATE" in text:
        why = "the TLS handshake failed. Check the node's certificates."
    else:
        why = "the connection failed."
    return BackendUnavailable(f"Docker on {node_name} cannot be reached: {why}", node=node_name)


def reason(text: str) -> str:
    """The engine's own sentence, without paths of the host and without its prefixes."""
    line = text.strip().splitlines()[0] if text.strip() else "no reason was given"
    line = _RUNTIME_END.sub("", _RUNTIME.sub("", _PREFIX.sub("", line)))
    return _PATH.sub("…", line)[:400]
