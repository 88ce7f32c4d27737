"""What the page of an instance says beyond its row: what to do next, where it can be reached, and what
is lost with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from compute.actor import Actor
from compute.backends.capabilities import Capability
from compute.errors import ComputeError
from compute.models import Instance
from compute.selectors.backups import BackupFilter, backups_page
from compute.services.snapshots import snapshots_list
from compute.states import Action, InstanceState
from compute.templatetags.libgo import bytes_text
from compute.wording import word_text

_EXITED = re.compile(r"exited (?:with code )?\(?(\d+)", re.IGNORECASE)
# Nothing wrong, or ended by the signals with which one stops.
_WELL_ENDED = ("0", "130", "137", "143")
# Docker's name of a volume that nobody named.
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")
_DISK_OF_ITS_OWN = "libgo-vm-"
_SNAPSHOTS_NAMED = 5


@dataclass(frozen=True)
class Advice:
    """A sentence, and what it leads to: an action of the instance, or a page."""

    text: str
    label: str = ""
    action: str = ""
    url: str = ""
    colour: str = "orange"


def advice(row: Mapping[str, Any]) -> Advice | None:
    """The next sensible thing; None when it is well and nothing waits."""
    if row["active_operation"]:
        return None
    if row["stale"]:
        url = reverse("node", args=[row["node"]["id"]])
        return Advice(_("What stands here is what was seen last."), _("Look at the node"), url=url)
    state, start = InstanceState(row["state"]), str(Action.START)
    logs = reverse("instance_tab", args=[row["id"], "logs"]) if _has_logs(row) else ""
    exited = _EXITED.search(row["status"])
    if state is InstanceState.ERROR:
        return _to_log(_("It failed."), logs, row, "red")
    if exited and exited[1] not in _WELL_ENDED and state is InstanceState.STOPPED:
        return _to_log(_("Its program ended with code %(exited)s.") % {"exited": exited[1]}, logs, row, "red")
    if row["health"] == "unhealthy":
        return _to_log(_("It runs, but its health check fails."), logs, row, "red")
    if row["pending_changes"]:
        can = str(Action.RESTART) if str(Action.RESTART) in row["actions"] else ""
        return Advice(_("Changes wait for its next start."), _("Restart it now") if can else "", action=can)
    if state is InstanceState.PAUSED and str(Action.UNPAUSE) in row["actions"]:
        return Advice(_("It stands still."), _("Let it go on"), action=str(Action.UNPAUSE), colour="yellow")
    if start in row["actions"]:
        return Advice(_("It is off."), _("Start it"), action=start, colour="azure")
    return None


def _to_log(text: str, logs: str, row: Mapping[str, Any], colour: str) -> Advice:
    if logs:
        return Advice(text, _("Read its log"), url=logs, colour=colour)
    start = str(Action.START) if str(Action.START) in row["actions"] else ""
    return Advice(text, _("Start it") if start else "", action=start, colour=colour)


def _has_logs(row: Mapping[str, Any]) -> bool:
    return bool(row["may_console"]) and str(Capability.LOGS) in row["capabilities"]


def addresses(row: Mapping[str, Any]) -> list[str]:
    """To copy, each once, in the order of its networks."""
    found = (net.get(key) for net in row["networks"] for key in ("ip_address", "ipv6_address"))
    return list(dict.fromkeys(address for address in found if address))


@dataclass(frozen=True)
class Losses:
    """Sentences. ``kept``: what is lost only when its storage is not kept."""

    lost: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    stays: list[str] = field(default_factory=list)


def losses_of_delete(actor: Actor, instance: Instance, row: Mapping[str, Any]) -> Losses:
    """Asks the engine for snapshots, within its deadline."""
    found = Losses()
    if row["type"] == "vm":
        _disks(row, found)
        _snapshots(actor, instance, row, found)
    else:
        found.lost.append(_("What it wrote into its own file system, outside of volumes"))
        _volumes(row, found)
    found.lost.append(_("Its logs, and its past of usage after a day"))
    wanted = BackupFilter(instance=str(instance.pk), page_size=1)
    backups = backups_page(actor, wanted).total
    if backups:
        found.stays.append(
            ngettext(
                "%(n)d backup, from which it can be made again",
                "%(n)d backups, from which it can be made again",
                backups,
            )
            % {"n": backups}
        )
    return found


def _disks(row: Mapping[str, Any], found: Losses) -> None:
    for disk in row["storage"]:
        if disk.get("format") == "cdrom" or not disk.get("source"):
            continue
        told = {"target": disk["target"], "source": disk["source"]}
        words = _("The disk %(target)s (%(source)s)") % told
        if disk.get("size"):
            told["size"] = bytes_text(disk["size"])
            words = _("The disk %(target)s (%(source)s, %(size)s)") % told
        own = str(disk["source"]).rpartition("/")[2].startswith(_DISK_OF_ITS_OWN)
        (found.kept if own else found.stays).append(words)


def _volumes(row: Mapping[str, Any], found: Losses) -> None:
    for mount in row["storage"]:
        if mount.get("format") != "volume":
            source = mount.get("source") or _("What is mounted")
            found.stays.append(
                _("%(source)s (at %(target)s)") % {"source": source, "target": mount["target"]}
            )
        elif _ANONYMOUS.fullmatch(str(mount.get("name", ""))):
            found.kept.append(
                _("The nameless volume at %(target)s, with all that is in it") % {"target": mount["target"]}
            )
        else:
            found.stays.append(
                _("The volume %(name)s (at %(target)s)") % {"name": mount["name"], "target": mount["target"]}
            )


def _snapshots(actor: Actor, instance: Instance, row: Mapping[str, Any], found: Losses) -> None:
    if str(Capability.SNAPSHOT) not in row["capabilities"]:
        return
    try:
        names = [item["name"] for item in snapshots_list(actor, instance.pk)]
    except ComputeError as error:
        found.lost.append(_("Its snapshots, if it has some (%(message)s)") % {"message": error.message})
        return
    if names:
        told = ", ".join(names[:_SNAPSHOTS_NAMED])
        if len(names) > _SNAPSHOTS_NAMED:
            more = len(names) - _SNAPSHOTS_NAMED
            told = _("%(names)s and %(more)s more") % {"names": told, "more": more}
        text = ngettext("%(n)d snapshot: %(names)s", "%(n)d snapshots: %(names)s", len(names))
        found.lost.append(text % {"n": len(names), "names": told})


def engine_words(row: Mapping[str, Any]) -> str:
    """What the engine says of its state; nothing where it only says the state again."""
    said = word_text(row["status"])
    return "" if said.lower() == word_text(row["state"]).lower() else said
