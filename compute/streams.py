"""Open read and console streams of engines, after asking whether this person may. For sockets only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict, replace
from typing import Any

import orjson
from asgiref.sync import sync_to_async

from compute import attachhub, loghub
from compute.actor import Actor
from compute.attachhub import Attached
from compute.backends.base import Backend
from compute.backends.capabilities import Capability
from compute.backends.registry import backend_for
from compute.backends.types import ByteStream, ExecResult, ExecSpec, LogQuery, SessionSpec
from compute.errors import ComputeError, InvalidState, OperationNotSupported
from compute.loghub import Batch, Piece, Shown, Wanted
from compute.models import Instance
from compute.places import Places
from compute.selectors.access import action_require
from compute.selectors.instances import instance_get
from compute.selectors.nodes import node_config
from compute.services.execs import exec_details, exec_result
from compute.services.guards import content_guarded
from compute.services.nodes import node_require
from compute.sessions import Record, beating
from compute.states import InstanceState

# A shell that most images have; bash where it is there.
SHELL = ("/bin/sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash; exec sh")

_FIRST_WITHIN_S = 1.0

# What lets a person act inside an instance, not only read what it says.
_INSIDE = (Capability.TERMINAL, Capability.ATTACH, Capability.CONSOLE, Capability.GRAPHICS)
_ACTIONS = {
    Capability.LOGS: "instance.logs",
    Capability.TERMINAL: "instance.exec",
    Capability.ATTACH: "instance.console",
    Capability.CONSOLE: "instance.console",
    Capability.GRAPHICS: "instance.screen",
}
_execs = Places("commands", most=64, share=16)


async def logs_follow(actor: Actor, instance_id: str, wanted: Wanted) -> AsyncGenerator[Piece, None]:
    """The log of one instance as it grows, in batches and marks; use it with ``aclosing``. However many
    follow, the engine is read once. Raises ``ComputeError``."""
    instance, backend = await _target(actor, instance_id, Capability.LOGS)
    if not instance.engine_id:
        raise InvalidState(f"{instance.name} is still being made.", state=instance.state)
    async with aclosing(loghub.follow(instance, backend, wanted)) as pieces:
        async for piece in pieces:
            yield piece


async def logs_text(
    actor: Actor, instance_id: str, wanted: Wanted, shown: Shown, *, as_text: bool
) -> AsyncGenerator[bytes, None]:
    """The same as text, or as one JSON object a line; begins within a second, be it with nothing."""
    async with aclosing(logs_follow(actor, instance_id, wanted)) as pieces:
        first = asyncio.ensure_future(anext(pieces, None))
        try:
            done, _ = await asyncio.wait({first}, timeout=_FIRST_WITHIN_S)
            if not done:
                yield b""
            piece = await first
        finally:
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        while piece is not None:
            yield (piece.plain(shown) if as_text else piece.rows(shown)).encode()
            piece = await anext(pieces, None)


async def logs_whole(
    actor: Actor, instance_id: str, query: LogQuery, shown: Shown
) -> AsyncGenerator[bytes, None]:
    """All that is asked for, as text, however long; the engine sends it no faster than it is taken."""
    instance, backend = await _target(actor, instance_id, Capability.LOGS)
    if not instance.engine_id:
        return
    asked = replace(query, follow=False, timestamps=shown.timestamps)
    batches: Any = backend.logs_follow(instance.engine_id, asked)
    async with aclosing(batches):
        async for lines in batches:
            yield Batch(lines).plain(shown).encode()


async def exec_open(actor: Actor, instance_id: str, wanted: SessionSpec) -> tuple[Instance, ByteStream]:
    """A session inside a running instance; without a command, a shell."""
    instance, backend = await _target(actor, instance_id, Capability.TERMINAL)
    _running_require(instance)
    asked = wanted if wanted.command else replace(wanted, command=SHELL)
    return instance, await backend.exec_open(instance.engine_id, asked)


async def attach_join(actor: Actor, instance_id: str) -> tuple[Instance, Attached]:
    """One more who sees what the first process of a running instance prints, and may write to it."""
    instance, backend = await _target(actor, instance_id, Capability.ATTACH)
    _running_require(instance)
    key = ("attach", instance.pk)
    return instance, await attachhub.join(
        key, actor.username, lambda: backend.attach_open(instance.engine_id)
    )


async def exec_once(actor: Actor, instance: Instance, wanted: ExecSpec) -> AsyncGenerator[bytes, None]:
    """The answer to one command, as JSON. Raises ``ComputeError`` when it could not be run, and
    ``RateLimited`` when too many run at once."""
    with _execs.take(actor.user_id):
        ended = await _exec_recorded(actor, instance, wanted)
    if isinstance(ended, ComputeError):
        raise ended
    yield orjson.dumps(asdict(ended))


async def _exec_recorded(actor: Actor, instance: Instance, wanted: ExecSpec) -> ExecResult | ComputeError:
    record = Record(actor, "instance.exec")
    ended: ExecResult | ComputeError | None = None
    try:
        await record.begin(instance, **exec_details(wanted))
        async with beating():
            ended = await _exec_ended(instance, wanted)
    finally:
        # Cut off: whoever asked went away, or may not any more, and the engine ends the command.
        await asyncio.shield(record.end(exec_result(ended)))
    return ended


async def _exec_ended(instance: Instance, wanted: ExecSpec) -> ExecResult | ComputeError:
    try:
        return await backend_for(node_config(instance.node)).exec_run(instance.engine_id, wanted)
    except ComputeError as error:
        return error


async def console_join(actor: Actor, instance_id: str, *, force: bool = False) -> tuple[Instance, Attached]:
    """One more who sees the serial line of a running VM, and may write to it. Raises ``InvalidState``
    while another program has it; ``force`` takes it away from there."""
    instance, backend = await _target(actor, instance_id, Capability.CONSOLE)
    _running_require(instance)
    key = ("console", instance.pk)
    return instance, await attachhub.join(
        key, actor.username, lambda: backend.console_open(instance.engine_id, force=force)
    )


async def graphics_open(actor: Actor, instance_id: str) -> tuple[Instance, ByteStream]:
    """The screen of a running VM, as the server's side of RFB."""
    instance, backend = await _target(actor, instance_id, Capability.GRAPHICS)
    _running_require(instance)
    return instance, await backend.graphics_open(instance.engine_id)


async def content_allowed(actor: Actor, instance_id: str, action: str) -> None:
    """Raises ``ComputeError`` unless the actor may (still) do this with the content of this instance."""
    await sync_to_async(_checked, thread_sensitive=False)(actor, instance_id, action)


async def _target(actor: Actor, instance_id: str, capability: Capability) -> tuple[Instance, Backend]:
    return await sync_to_async(_resolved, thread_sensitive=False)(actor, instance_id, capability)


def _checked(actor: Actor, instance_id: str, action: str) -> Instance:
    instance = instance_get(actor, instance_id)
    action_require(actor, action, instance.project_id)
    return instance


def _resolved(actor: Actor, instance_id: str, capability: Capability) -> tuple[Instance, Backend]:
    instance = _checked(actor, instance_id, _ACTIONS[capability])
    if str(capability) not in instance.node.capabilities:
        raise OperationNotSupported(
            f"The node {instance.node.name} cannot do this ({capability}).", capability=str(capability)
        )
    node_require(instance.node)
    if capability in _INSIDE:
        content_guarded(actor, instance)
    return instance, backend_for(node_config(instance.node))


def _running_require(instance: Instance) -> None:
    if instance.state != InstanceState.RUNNING:
        raise InvalidState(f"{instance.name} is {instance.state}; start it first.", state=instance.state)
