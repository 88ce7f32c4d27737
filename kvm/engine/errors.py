"""From libvirt's error codes to what LibGo can explain."""

from __future__ import annotations

import re

import libvirt

from compute.backends.room import room_error
from compute.errors import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    ComputeError,
    InstanceNotFound,
    InvalidInput,
    InvalidState,
    NameConflict,
    NetworkNotFound,
    OperationNotSupported,
    PoolNotFound,
    SnapshotNotFound,
    VolumeNotFound,
)
from compute.tell import tell

_PATH = re.compile(r"/(?:var|run|etc|proc|sys|tmp|root|home|usr)/\S*")

# https://libvirt.org/html/libvirt-virterror.html
_NOT_FOUND: dict[int, type[ComputeError]] = {
    libvirt.VIR_ERR_NO_DOMAIN: InstanceNotFound,
    libvirt.VIR_ERR_NO_NETWORK: NetworkNotFound,
    libvirt.VIR_ERR_NO_STORAGE_POOL: PoolNotFound,
    libvirt.VIR_ERR_NO_STORAGE_VOL: VolumeNotFound,
    libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT: SnapshotNotFound,
}
_REFUSED: dict[int, type[ComputeError]] = {
    libvirt.VIR_ERR_OPERATION_INVALID: InvalidState,
    libvirt.VIR_ERR_RESOURCE_BUSY: InvalidState,
    libvirt.VIR_ERR_OPERATION_ABORTED: InvalidState,
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE: InvalidState,
    libvirt.VIR_ERR_STORAGE_VOL_EXIST: NameConflict,
    libvirt.VIR_ERR_DOM_EXIST: NameConflict,
    libvirt.VIR_ERR_INVALID_ARG: InvalidInput,
    libvirt.VIR_ERR_XML_ERROR: InvalidInput,
    libvirt.VIR_ERR_XML_DETAIL: InvalidInput,
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED: OperationNotSupported,
    libvirt.VIR_ERR_NO_SUPPORT: OperationNotSupported,
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED: OperationNotSupported,
    libvirt.VIR_ERR_OPERATION_TIMEOUT: BackendTimeout,
}
_LOST = ("keepalive", "client socket is closed", "connection closed", "cannot recv data", "connection reset")


def libvirt_error(error: libvirt.libvirtError, node_name: str) -> ComputeError:
    """The error of our tree for one of libvirt's."""
    code, text = error.get_error_code(), reason(error)
    if code in _NOT_FOUND:
        return _NOT_FOUND[code](f"libvirt has no such thing: {text}")
    if is_connection_lost(error):
        return BackendUnavailable(f"libvirt on {node_name} cannot be reached: {text}", node=node_name)
    full = room_error(text, tell(f"The disk of a pool on {node_name}"))
    if full is not None:
        return full
    if "already exists" in text and code in (
        libvirt.VIR_ERR_OPERATION_FAILED,
        libvirt.VIR_ERR_OPERATION_INVALID,
    ):
        return NameConflict(f"The name is taken: {text}")
    if code in _REFUSED:
        return _REFUSED[code](f"libvirt refused: {text}")
    return BackendError(f"libvirt reported a problem: {text}")


def open_error(error: libvirt.libvirtError, node_name: str) -> BackendUnavailable:
    """Why a connection could not be opened, with what to do about it."""
    text = str(error)
    if "Connection refused" in text or "No such file" in text:
        word, why = "refused", "its socket does not answer. Is libvirtd running?"
    elif "Permission denied" in text or "authentication" in text.lower():
        word, why = "denied", "LibGo may not use its socket. Add its user to the group libvirt."
    else:
        word, why = "engine", reason(error)
    return BackendUnavailable(f"libvirt on {node_name} cannot be reached: {why}", node=node_name, reason=word)


def is_connection_lost(error: libvirt.libvirtError) -> bool:
    """Whether the connection, not the request, was the problem."""
    text = str(error).lower()
    return error.get_error_code() in (
        libvirt.VIR_ERR_NO_CONNECT,
        libvirt.VIR_ERR_INVALID_CONN,
    ) or any(word in text for word in _LOST)


def reason(error: libvirt.libvirtError) -> str:
    """libvirt's own sentence, without paths of the host."""
    return _PATH.sub("…", str(error.get_error_message() or error))[:400]
