"""The one exception tree of LibGo.

Everything below the HTTP layer raises only :class:`ComputeError`. Each class carries the public
code; the HTTP status of every code stands once, in ``compute/api/exception_handler.py``.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ComputeError(Exception):
    """Something LibGo can explain: a code for programs, a sentence for people, details for both.

    ``message`` says what happened, why, and what to do. It never holds engine internals, paths
    of the server or secrets. ``details`` is JSON-serialisable.
    """

    code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidInput(ComputeError):
    """The request cannot be understood; ``details["fields"]`` maps a field to its complaint."""

    code = "INVALID_INPUT"

    @classmethod
    def field(cls, name: str, complaint: str) -> InvalidInput:
        return cls(f"{name}: {complaint}", fields={name: complaint})

    @classmethod
    def of_fields(cls, complaints: dict[str, str]) -> InvalidInput:
        """Of one field or several at once."""
        if len(complaints) == 1:
            return cls.field(*next(iter(complaints.items())))
        return cls(f"Some fields are wrong: {', '.join(complaints)}.", fields=complaints)


class Unauthenticated(ComputeError):
    code = "UNAUTHENTICATED"


class PermissionDenied(ComputeError):
    code = "PERMISSION_DENIED"


class PolicyDenied(ComputeError):
    """A rule of the site forbids it for this role; ``details["rule"]`` names the rule."""

    code = "POLICY_DENIED"


class ResourceLimitExceeded(ComputeError):
    """``details``: ``limit`` (name), ``scope``, ``maximum``, ``used``, ``asked``."""

    code = "RESOURCE_LIMIT_EXCEEDED"


class NotFound(ComputeError):
    code = "NOT_FOUND"


class InstanceNotFound(NotFound):
    code = "INSTANCE_NOT_FOUND"


class OperationNotFound(NotFound):
    code = "OPERATION_NOT_FOUND"


class NodeNotFound(NotFound):
    code = "NODE_NOT_FOUND"


class ImageNotFound(NotFound):
    code = "IMAGE_NOT_FOUND"


class ContainerNotFound(NotFound):
    code = "CONTAINER_NOT_FOUND"


class NetworkNotFound(NotFound):
    code = "NETWORK_NOT_FOUND"


class VolumeNotFound(NotFound):
    code = "VOLUME_NOT_FOUND"


class PoolNotFound(NotFound):
    code = "POOL_NOT_FOUND"


class SnapshotNotFound(NotFound):
    code = "SNAPSHOT_NOT_FOUND"


class InvalidBackend(ComputeError):
    code = "INVALID_BACKEND"


class NameConflict(ComputeError):
    code = "NAME_CONFLICT"


class InvalidState(ComputeError):
    """The instance's state does not allow the action; ``details["state"]`` says which it is."""

    code = "INVALID_STATE"


class InstanceBusy(ComputeError):
    """Another operation works on the instance; ``details["operation"]`` names it."""

    code = "INSTANCE_BUSY"


class ImageInUse(ComputeError):
    code = "IMAGE_IN_USE"


class NetworkInUse(ComputeError):
    code = "NETWORK_IN_USE"


class VolumeInUse(ComputeError):
    code = "VOLUME_IN_USE"


class PreconditionFailed(ComputeError):
    code = "PRECONDITION_FAILED"


class PayloadTooLarge(ComputeError):
    code = "PAYLOAD_TOO_LARGE"


class OperationNotSupported(ComputeError):
    """The backend, node or engine version lacks the capability; ``details["capability"]``."""

    code = "OPERATION_NOT_SUPPORTED"


class RateLimited(ComputeError):
    """``details["retry_after"]``: seconds until the next try may succeed."""

    code = "RATE_LIMITED"


class BackendError(ComputeError):
    """The engine refused or failed for a reason of its own."""

    code = "BACKEND_ERROR"


class BackupDamaged(BackendError):
    """What lies in a backup target is not what was put there."""

    code = "BACKUP_DAMAGED"


class BackendUnavailable(ComputeError):
    """The engine cannot be reached; nothing was changed by this call."""

    code = "BACKEND_UNAVAILABLE"


class BackendTimeout(ComputeError):
    """The engine did not answer in time. The outcome is unknown: look it up, never retry blindly."""

    code = "BACKEND_TIMEOUT"


class OperationCancelled(ComputeError):
    """Raised inside a handler when its operation was asked to cancel; not an engine failure."""

    code = "OPERATION_CANCELLED"


class OperationInterrupted(ComputeError):
    """The process that ran the operation was lost, and how far it came is not known."""

    code = "OPERATION_INTERRUPTED"
