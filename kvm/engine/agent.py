"""The guest agent of a domain: what a guest tells of itself, and what it does when asked.

Whoever is root in the guest writes these answers: everything is typed, bounded, and given up on after
a few seconds. Protocol: https://www.qemu.org/docs/master/interop/qemu-ga-ref.html
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
from typing import Any

import libvirt
import libvirt_qemu

from compute.errors import BackendError, ComputeError, InvalidState, OperationNotSupported

ANSWER_WITHIN_S = 5
# One word may be long, what a command printed; as many pieces of nothing would be a hundred times as large
# in memory as they came.
_ANSWER_MAX, _PIECES_MAX = 16 * 1024**2, 100_000
_ITEMS_MAX, _TEXT_MAX = 64, 255
_TOO_MUCH = "The guest agent answered with more than LibGo takes."
# What libvirt says of an answer that does not fit into its own protocol, which takes 4 MiB, and of an agent
# that goes on for more than 10: it hangs up on that one.
_TOO_LONG = ("encode message payload", "No complete agent response")
_MISSING = (
    "The guest agent does not answer. Install qemu-guest-agent in the guest and start it; it needs the "
    "channel org.qemu.guest_agent.0."
)


def agent_call(domain: libvirt.virDomain, command: str, **arguments: Any) -> Any:
    """What the agent returns. Raises ``InvalidState`` (``reason`` agent_missing) without an agent,
    ``OperationNotSupported`` for what it does not offer, ``BackendError`` for what it refuses."""
    asked = json.dumps({"execute": command, "arguments": arguments})
    try:
        answer = libvirt_qemu.qemuAgentCommand(domain, asked, ANSWER_WITHIN_S, 0)
    except libvirt.libvirtError as error:
        raise _refused(error, command) from error
    return answer_read(answer)


def answer_read(answer: str) -> Any:
    """What it returns. Raises ``BackendError``."""
    if len(answer) > _ANSWER_MAX or sum(map(answer.count, "[{,")) > _PIECES_MAX:
        raise BackendError(_TOO_MUCH)
    try:
        return json.loads(answer)["return"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BackendError("The guest agent answered with nonsense.") from error


def _refused(error: libvirt.libvirtError, command: str) -> ComputeError | libvirt.libvirtError:
    code, text = error.get_error_code(), str(error.get_error_message() or "")[:300]
    absent = (
        libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
        libvirt.VIR_ERR_AGENT_UNSYNCED,
        libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
    )
    if code in absent or "agent is not" in text:
        return InvalidState(_MISSING, reason="agent_missing")
    if any(words in text for words in _TOO_LONG):
        return BackendError(_TOO_MUCH)
    if "has not been found" in text or "disabled" in text or "not supported" in text:
        return OperationNotSupported(
            f"The agent of this guest does not offer {command}; its settings or version say so.",
            capability="guest_agent",
        )
    if code == libvirt.VIR_ERR_INTERNAL_ERROR:
        return BackendError(f"The guest agent refused {command}: {one_line(text.rpartition(': ')[2])}")
    return error


def addresses_of(domain: libvirt.virDomain) -> dict[str, tuple[str, str]]:
    """By MAC address the first address of each kind; empty without an agent."""
    try:
        found = interfaces_of(agent_call(domain, "guest-network-get-interfaces")) or []
    except (ComputeError, libvirt.libvirtError):
        return {}
    return {
        item["mac_address"]: (next(iter(item["ip_addresses"]), ""), next(iter(item["ipv6_addresses"]), ""))
        for item in found
        if item["mac_address"]
    }


def one_line(value: Any) -> str:
    """What a guest says, as one line: bounded, without controls."""
    return "".join(letter for letter in str(value)[:_TEXT_MAX] if letter.isprintable())


def field_of(answer: Any, name: str) -> str | None:
    """A text of the answer; None when there is none."""
    found = answer.get(name) if isinstance(answer, dict) else None
    return one_line(found) if isinstance(found, (str, int)) and found != "" else None


def items_of(answer: Any) -> list[dict[str, Any]]:
    """The objects of a list, at most so many."""
    return (
        [item for item in answer[:_ITEMS_MAX] if isinstance(item, dict)] if isinstance(answer, list) else []
    )


def interfaces_of(answer: Any) -> list[dict[str, Any]] | None:
    """``[{name, mac_address, ip_addresses, ipv6_addresses}]``."""
    if answer is None:
        return None
    found = []
    for item in items_of(answer):
        v4: list[str] = []
        v6: list[str] = []
        for each in items_of(item.get("ip-addresses")):
            with contextlib.suppress(ValueError):
                address = ipaddress.ip_address(str(each.get("ip-address"))[:_TEXT_MAX])
                (v4 if address.version == 4 else v6).append(str(address))
        mac = (field_of(item, "hardware-address") or "").lower()
        found.append(
            {
                "name": field_of(item, "name") or "",
                "mac_address": "" if mac == "00:00:00:00:00:00" else mac,
                "ip_addresses": v4,
                "ipv6_addresses": v6,
            }
        )
    return found
