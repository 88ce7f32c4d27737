"""The words of the tables (states, actions, roles, kinds) as people read them, in their language.

Programs read the words as they stand; the pages ask here. ``words_known`` is what a language must have,
besides what is marked in templates and code: a new state asks for its translation by itself.
"""

from __future__ import annotations

import re
from datetime import timedelta
from enum import EnumMeta
from typing import cast

from django.utils.translation import gettext, ngettext, ngettext_lazy, pgettext, pgettext_lazy

from compute import states
from compute.backends.capabilities import Capability
from compute.differences import what_said
from compute.permissions import ACTIONS
from compute.states import ACTION_WORDS, ALERT_METRICS, TOKEN_SCOPES, Action, Word, action_words, metric_word
from compute.told import WORD, told_text, word_told
from compute.told import later as later

# Tells a step of an operation, as the worker wrote it down.
STEP = "step"


def word_text(word: object) -> str:
    """“running” as “läuft”, “Exited with code 1” as “Beendet mit Code 1”; a word that no table has (an
    engine's own) stays as it is."""
    return word_told(str(word))


def word_later(word: object) -> str:
    """The same of a table that is made before anybody reads it; see :func:`later`."""
    return cast(str, pgettext_lazy(WORD, action_words(str(word))))


# Lengths as static/js/time.js has them.
_SPANS = (
    (31536000, ngettext_lazy("%(n)d year ago", "%(n)d years ago", "n")),
    (2592000, ngettext_lazy("%(n)d month ago", "%(n)d months ago", "n")),
    (604800, ngettext_lazy("%(n)d week ago", "%(n)d weeks ago", "n")),
    (86400, ngettext_lazy("%(n)d day ago", "%(n)d days ago", "n")),
    (3600, ngettext_lazy("%(n)d hour ago", "%(n)d hours ago", "n")),
    (60, ngettext_lazy("%(n)d minute ago", "%(n)d minutes ago", "n")),
)


def ago_text(since: timedelta) -> str:
    """“3 minutes ago”; what was less than a minute ago, or is yet to come, as “0 minutes ago”."""
    seconds = max(0, int(since.total_seconds()))
    length, text = next((span for span in _SPANS if seconds >= span[0]), _SPANS[-1])
    return str(text % {"n": seconds // length})


def lasting_text(seconds: int) -> str:
    """5400 as “1 hour 30 minutes”; a minute at least."""
    minutes = max(1, seconds // 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = (
        (days, ngettext("%(n)d day", "%(n)d days", days)),
        (hours, ngettext("%(n)d hour", "%(n)d hours", hours)),
        (minutes, ngettext("%(n)d minute", "%(n)d minutes", minutes)),
    )
    return " ".join(text % {"n": count} for count, text in parts if count)


_NOUNS = {
    "instance": ngettext_lazy("instance", "instances", "n"),
    "schedule": ngettext_lazy("schedule", "schedules", "n"),
    "rule": ngettext_lazy("rule", "rules", "n"),
    "image": ngettext_lazy("image", "images", "n"),
    "volume": ngettext_lazy("volume", "volumes", "n"),
    "network": ngettext_lazy("network", "networks", "n"),
    "stack": ngettext_lazy("stack", "stacks", "n"),
    "pool": ngettext_lazy("pool", "pools", "n"),
    "template": ngettext_lazy("template", "templates", "n"),
    "backup": ngettext_lazy("backup", "backups", "n"),
    "export": ngettext_lazy("export", "exports", "n"),
}


def counted_noun(noun: str, count: int) -> str:
    """“volume” for 1 of them, “volumes” for more; a noun that is not known here as it stands."""
    return str(_NOUNS[noun] % {"n": count}) if noun in _NOUNS else noun


def step_text(step: str) -> str:
    """“Starting the VM” in the reader's language."""
    said = pgettext(STEP, step) if step else ""
    return told_text(step) if said == step else said


# What events say, as they were written down: read again, so that it can be said in another language.
_TOLD = (
    (
        r"(?P<noun>[A-Z]\w+)s on (?P<place>\S+): (?P<counts>(?:\d+ \w+(?:, )?)+)\.",
        later("%(noun)s on %(place)s: %(counts)s."),
    ),
    (r"(?P<name>.+) is being made\.", later("%(name)s is being made.")),
    (r"(?P<name>.+) was added\.", later("%(name)s was added.")),
    (r"(?P<name>.+) was removed\.", later("%(name)s was removed.")),
    (r"(?P<name>.+) was changed\.", later("%(name)s was changed.")),
    (r"(?P<name>.+) changed\.", later("%(name)s changed.")),
    (r"(?P<name>.+?) changed: (?P<what>.+)\.", later("%(name)s changed: %(what)s.")),
    (r"(?P<name>.+) answers\.", later("%(name)s answers.")),
    (r"(?P<name>.+) is gone\.", later("%(name)s is gone.")),
    (r"(?P<name>.+) belongs to (?P<place>.+) now\.", later("%(name)s belongs to %(place)s now.")),
    (r"(?P<name>.+) appeared on (?P<place>.+)\.", later("%(name)s appeared on %(place)s.")),
    (r"(?P<name>.+) is back on (?P<place>.+)\.", later("%(name)s is back on %(place)s.")),
    (r"(?P<name>.+) is (?P<word>\w+)\.", later("%(name)s is %(word)s.")),
    (r"(?P<name>\S+) is (?P<word>\w+): (?P<status>.+)\.", later("%(name)s is %(word)s: %(status)s.")),
    (
        r"(?P<name>.+) ran out of memory: the system ended a process in it\.",
        later("%(name)s ran out of memory: the system ended a process in it."),
    ),
    (r"(?P<action>[A-Z][^:]*?)(?P<name> \S+)?: (?P<word>[a-z]+)\.", later("%(action)s%(name)s: %(word)s.")),
)
_TOLD_PATTERNS = tuple((re.compile(pattern), text) for pattern, text in _TOLD)


def _counts_text(counts: str) -> str:
    """“1 new, 2 gone”."""
    parts = (part.split() for part in counts.split(", "))
    return ", ".join(f"{count} {word_text(word)}" for count, word in parts)


def event_text(message: str) -> str:
    """What an event, an error or a finding says in the reader's language; what is not known here stays as it
    was told."""
    known = told_text(message)
    if known != message:
        return known
    for pattern, text in _TOLD_PATTERNS:
        match = pattern.fullmatch(message)
        if match:
            said = {key: value or "" for key, value in match.groupdict().items()}
            for key in said.keys() & {"word", "status"}:
                said[key] = word_text(said[key])
            if "what" in said:
                said["what"] = what_said(said["what"])
            if "noun" in said:
                said["noun"] = counted_noun(said["noun"].lower(), 2)
                said["noun"] = said["noun"][:1].upper() + said["noun"][1:]
                said["counts"] = _counts_text(said["counts"])
            if "action" in said:
                action = word_text(said["action"][:1].lower() + said["action"][1:])
                said["action"] = action[:1].upper() + action[1:]
            return text % said
    return message


_ROLE_IN = "role in "
# Fields of what the audit tells, and of them those whose values are words of ours.
_WORD_FIELDS = frozenset(
    "role state status kind type severity action result method missed overlap metric outcome".split()
)
_AUDIT_FIELDS = _WORD_FIELDS | frozenset(
    "above add annotations allow_internal arguments backend backups began_at by_token channels "
    "clear_threshold code columns command config cpu cpu_overcommit credentials cron description directory "
    "duration_s email enabled error fields file filter for_s force host insecure instance_uid is_active "
    "is_enabled is_superuser keep labels language left_out limit max_cpu_cores max_instances "
    "max_memory_bytes max_storage_bytes memory memory_overcommit message missed_within_s name network "
    "node_id of operation options page path position program project project__name projects reason "
    "recipients route rows rule schedule scopes silenced_until storage target threshold timezone to token "
    "up_to_seq url user username verified version wanted from hash".split()
)


# What the audit tells of beside what the matrix of permissions names and what operations do.
_AUDIT_ACTIONS = frozenset(
    "audit.cut audit.export auth.logout auth.refresh_reused auth.session_end columns.set directory.gone "
    "directory.roles instance.exec_session instance.resize instance.vnc instance.xml_read limits.project "
    "limits.site limits.user node.try profile.recovery_codes profile.second_factor_off "
    "profile.second_factor_on profile.token_create profile.token_revoke project.member_removed "
    "schedule.pause schedule.refused user.second_factor_reset view.delete view.save volume.download".split()
)


def is_word_field(name: str) -> bool:
    """Whether the values of a field that the audit tells of are words of ours, not data."""
    return name in _WORD_FIELDS or name.startswith(_ROLE_IN)


def audit_field_text(name: str) -> str:
    if name.startswith(_ROLE_IN):
        return gettext("role in %(project)s") % {"project": name.removeprefix(_ROLE_IN)}
    return word_text(name) if name in _AUDIT_FIELDS else name


def audit_action_text(action: str) -> str:
    """“instance.stop” as “stop”; the route of a request that no service told of stays as it is."""
    if "/" in action:
        return action
    begun = action.removesuffix(".end")
    return word_text(action) if begun == action else gettext("%(action)s: end") % {"action": word_text(begun)}


def words_known() -> set[str]:
    """Every word that ``word_text`` translates."""
    kinds = [kind for kind in vars(states).values() if isinstance(kind, EnumMeta) and issubclass(kind, Word)]
    words = {member.value for kind in kinds for member in kind}
    words |= {action.progressive for action in Action}
    measured = {metric for metrics in ALERT_METRICS.values() for metric in metrics}
    words |= measured | {metric_word(metric) for metric in measured}
    words |= {*Capability, *_CONFIG_FIELDS}
    words |= {*TOKEN_SCOPES, *ACTIONS, *ACTION_WORDS, *_BESIDE, *_STATUSES, *_AUDIT_FIELDS, *_AUDIT_ACTIONS}
    return {action_words(word) for word in words} - {""}


# Of a configuration, as the tables of both backends name them.
_CONFIG_FIELDS = frozenset(
    "image command entrypoint env working_dir user hostname domainname tty stdin_open stop_signal "
    "stop_timeout health_check volumes volumes_from tmpfs ports publish_all_ports network_mode networks dns "
    "dns_search dns_options extra_hosts restart_policy init read_only privileged capabilities security_opt "
    "devices device_cgroup_rules gpus group_add pid_mode ipc_mode uts_mode userns_mode cgroupns_mode "
    "cgroup_parent runtime sysctls ulimits oom_score_adj oom_kill_disable pids_limit memory_reservation "
    "memory_swap memory_swappiness shm_size cpu_shares cpuset_cpus blkio_weight log_driver log_options "
    "disk disks network cloud_init firmware secure_boot tpm machine cpu_model cpu_topology max_vcpus "
    "max_memory graphics boot virt_type autostart description os_variant memory cpu storage labels".split()
)
# What libvirt's driver says of a machine's state; Docker's texts hold times and stay its own.
_STATUSES = frozenset(
    (
        "Unknown",
        "Removing",
        "Restarting",
        "Dead",
        "Created",
        "Running",
        "Running, waiting for a resource",
        "Paused",
        "Shutting down",
        "Shut off",
        "Crashed",
        "QEMU crashed or was killed, as the system does when memory runs out",
        "Suspended by the guest",
        "Shut off by the guest",
        "Forced off",
        "Failed to start",
    )
)
# Of parts that keep no table of their own: what a check, a login or an engine tells, and nouns.
_BESIDE = frozenset(
    "degrading exited dead removing restarting "
    "password token page api session socket totp oidc ldap recovery_code beat schedule system public "
    "added changed deleted removed tried saved new gone "
    "instance node operation alert backup volume network image stack template "
    "pool rule machine container project user label site "
    "last hourly daily weekly monthly yearly instances memory storage CPU "
    "containers networks volumes images build_cache unused_images "
    "no always on-failure unless-stopped never none json-file local "
    "services operations "
    "start stop refresh delete resize wipe clone test alert.firing alert.resolved".split()
) | {"CPU cores"}
