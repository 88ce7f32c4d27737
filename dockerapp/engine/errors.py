"""From what the Docker libraries raise to what LibGo can explain."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import requests
import structlog
import urllib3
from docker.errors import APIError, DockerException, NotFound
from docker.errors import ImageNotFound as EngineImageNotFound

from compute.backends.room import room_error
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
from compute.tell import tell

log = structlog.get_logger(__name__)

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


@contextmanager
def answer_errors(what: str) -> Iterator[None]:
    """An answer in which something has a type or a size that no Docker engine gives it leaves as a
    ``BackendError``, and nothing of it is taken: what the mirror shows stays."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError, OSError) as error:
        log.warning("engine_answer_unreadable", what=what, reason=repr(error)[:200])
        raise BackendError(f"The engine described {what} in a way that no Docker engine does.") from error


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
    full = room_error(text, tell(f"The disk of {node_name}"))
    if full is not None:
        return full
    if status in _BUSY:
        return BackendUnavailable(
            f"Docker on {node_name} cannot do that now: {text}. Try again in a while.",
            node=node_name,
            reason="busy",
        )
    # Podman has it from its storage, and says 500.
    if status in (409, 500) and "name" in lowered and "already in use" in lowered:
        return NameConflict(f"The name is taken on the engine: {text}")
    if status == 409 or any(words in lowered for words in _WRONG_STATE):
        return InvalidState(f"The engine refused: {text}")
    if status == 400:
        return InvalidInput(f"The engine refused the request: {text}")
    return BackendError(f"Docker reported a problem: {text}")


# Too many requests, or who stands before the engine does not reach it.
_BUSY = frozenset({429, 502, 503, 504})
# The last is Podman's.
_WRONG_STATE = ("is not running", "is paused", "container state improper")
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
        reason="api_version",
    )


def transport_error(node_name: str, error: Exception, *, asks_only: bool = False) -> ComputeError:
    """No answer, or not in time. ``details["reason"]`` is a word for programs, one for each cause."""
    text = f"{error!r} {error.__context__!r}"
    if _TOO_OTHER.search(text):
        return _wrong_version(node_name)
    if _timed_out(error, text):
        if not asks_only and not isinstance(error, requests.exceptions.ConnectTimeout):
            return BackendTimeout(f"Docker on {node_name} did not answer in time.", node=node_name)
        connected = not isinstance(error, requests.exceptions.ConnectTimeout)
        word, why = ("silent", _SILENT) if connected else ("timeout", _NO_ANSWER)
        return unreachable(node_name, word, why)
    for word, pattern, why in _CAUSES:
        if pattern.search(text):
            return unreachable(node_name, word, why)
    return unreachable(node_name, "connection", "the connection failed.")


def unreachable(node_name: str, word: str, why: str) -> BackendUnavailable:
    """``why`` ends the sentence, and says what to do."""
    return BackendUnavailable(f"Docker on {node_name} cannot be reached: {why}", node=node_name, reason=word)


def not_an_engine(node_name: str) -> BackendUnavailable:
    return BackendUnavailable(
        f"What answers on {node_name} is not a Docker engine. Check the address and the port.",
        node=node_name,
        reason="not_docker",
    )


def _timed_out(error: Exception, text: str) -> bool:
    return isinstance(error, requests.exceptions.Timeout) or "timed out" in text


_SILENT = "it takes connections but does not answer."
_NO_ANSWER = "its address does not answer. Is the host up, and does a firewall let LibGo through?"
# What the causes look like in the texts of the libraries and of OpenSSL, the most telling first.
_CAUSES: tuple[tuple[str, re.Pattern[str], str], ...] = (
    (
        "dns",
        re.compile(r"NameResolutionError|gaierror|Name or service not known|Temporary failure in name", re.I),
        "the name in its address cannot be resolved. Check the spelling and the name server.",
    ),
    (
        "tls_expired",
        re.compile(r"certificate has expired"),
        "the engine's certificate has expired. Renew it on the engine's host.",
    ),
    (
        "tls_not_yet_valid",
        re.compile(r"certificate is not yet valid"),
        "the engine's certificate is not valid yet. Check the clocks of both hosts.",
    ),
    (
        "tls_hostname",
        re.compile(r"Hostname mismatch|IP address mismatch|certificate is not valid for|doesn't match"),
        "the engine's certificate is for another name. Use a name that stands in it, or issue another.",
    ),
    (
        "tls_authority",
        re.compile(r"CERTIFICATE_VERIFY_FAILED|certificate verify failed", re.I),
        "the engine's certificate was not signed by the authority (CA) given for this node. Give the CA that "
        "signed it.",
    ),
    (
        "tls_client_expired",
        re.compile(r"ALERT_CERTIFICATE_EXPIRED|alert certificate expired", re.I),
        "the engine refused LibGo's certificate because it has expired. Enter a new certificate and key.",
    ),
    (
        "tls_client",
        re.compile(
            r"CERTIFICATE_REQUIRED|certificate required|BAD_CERTIFICATE|ALERT_UNKNOWN_CA|"
            r"CERTIFICATE_UNKNOWN|UNSUPPORTED_CERTIFICATE|HANDSHAKE_FAILURE|ALERT_ACCESS_DENIED",
            re.I,
        ),
        "the engine wants a certificate of LibGo, and there is none or not one that it trusts. Enter a "
        "certificate and key signed by the engine's own CA (tlscacert).",
    ),
    (
        "not_tls",
        re.compile(r"WRONG_VERSION_NUMBER|UNKNOWN_PROTOCOL|RECORD_LAYER_FAILURE|HTTP_REQUEST", re.I),
        "its port does not speak TLS. Use the TLS port (usually 2376), or leave TLS out.",
    ),
    (
        "no_socket",
        re.compile(r"FileNotFoundError"),
        "its socket does not exist. Is the Docker daemon running?",
    ),
    (
        "refused",
        re.compile(r"ConnectionRefused|Connection refused"),
        "the connection was refused. Is the Docker daemon running?",
    ),
    (
        "permission",
        re.compile(r"PermissionError|Permission denied"),
        "LibGo may not use its socket. Add its user to the group docker.",
    ),
    (
        "no_route",
        re.compile(r"No route to host|Network is unreachable|EHOSTUNREACH|ENETUNREACH"),
        "there is no route to its address. Check the address and the network between.",
    ),
    (
        "tls",
        re.compile(r"SSL|TLS|CERTIFICATE"),
        "the TLS handshake failed. Check the node's certificates.",
    ),
    (
        "not_docker",
        re.compile(r"BadStatusLine|JSONDecodeError|TooManyRedirects|InvalidHeader|LineTooLong"),
        "what answers there is not a Docker engine. Check the address and the port.",
    ),
)


def reason(text: str) -> str:
    """The engine's own sentence, without paths of the host and without its prefixes."""
    line = text.strip().splitlines()[0] if text.strip() else tell("no reason was given")
    line = _RUNTIME_END.sub("", _RUNTIME.sub("", _PREFIX.sub("", line)))
    return _PATH.sub("…", line)[:400]
