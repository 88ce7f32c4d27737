"""From what the Docker libraries raise to what LibGo can explain."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import requests
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
)

_PATH = re.compile(r"/(?:var|run|etc|proc|sys|tmp|root|home)/\S*")
_PREFIX = re.compile(r"^(?:Error response from daemon|Conflict|driver failed programming[^:]*):\s*", re.I)


@contextmanager
def engine_errors(node_name: str) -> Iterator[None]:
    """Everything raised inside leaves as a ``ComputeError``."""
    try:
        yield
    except ComputeError:
        raise
    except APIError as error:
        raise api_error(error) from error
    except (requests.exceptions.RequestException, DockerException, OSError) as error:
        raise transport_error(node_name, error) from error


def api_error(error: APIError) -> ComputeError:
    """An answer of the engine that says no."""
    status = error.status_code or 500
    text = reason(str(error.explanation or error))
    lowered = text.lower()
    if isinstance(error, EngineImageNotFound) or "no such image" in lowered:
        return ImageNotFound(f"The engine has no such image: {text}")
    if isinstance(error, NotFound):
        return InstanceNotFound("The engine has no such container.")
    if status == 409 and "already in use" in lowered and "name" in lowered:
        return NameConflict(f"The name is taken on the engine: {text}")
    if status == 409 or "is not running" in lowered or "is paused" in lowered:
        return InvalidState(f"The engine refused: {text}")
    if status == 400:
        return InvalidInput(f"The engine refused the request: {text}")
    return BackendError(f"Docker reported a problem: {text}")


def transport_error(node_name: str, error: Exception) -> ComputeError:
    """No answer, or not in time."""
    text = f"{error!r}"
    if isinstance(error, requests.exceptions.Timeout) or "Read timed out" in text or "timed out" in text:
        return BackendTimeout(f"Docker on {node_name} did not answer in time.", node=node_name)
    if "FileNotFoundError" in text:
        why = "its socket does not exist. Is the Docker daemon running?"
    elif "ConnectionRefused" in text or "Connection refused" in text:
        why = "the connection was refused. Is the Docker daemon running?"
    elif "PermissionError" in text or "Permission denied" in text:
        why = "LibGo may not use its socket. Add its user to the group docker."
    elif "SSL" in text or "TLS" in text or "CERTIFICATE" in text:
        why = "the TLS handshake failed. Check the node's certificates."
    elif "too new" in text or "too old" in text:
        why = "the API version is not supported. Remove docker.apiVersion or choose another."
    else:
        why = "the connection failed."
    return BackendUnavailable(f"Docker on {node_name} cannot be reached: {why}", node=node_name)


def reason(text: str) -> str:
    """The engine's own sentence, without paths of the host and without its prefixes."""
    line = text.strip().splitlines()[0] if text.strip() else "no reason was given"
    return _PATH.sub("…", _PREFIX.sub("", line))[:400]
