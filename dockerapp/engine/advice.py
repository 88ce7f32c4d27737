"""What an engine's version and settings give reason to say. Pure: the launcher's doctor uses it too."""

from __future__ import annotations

import re

from compute.tell import tell

# A release line (0.0: every older one), the first good version of it, and what was mended there.
# Distributions mend old versions too without changing their number, so this is advice.
_MENDED = (
    (
        (0, 0),
        (20, 10, 9),
        tell("files of the host could change their rights through docker cp (CVE-2021-41089)"),
    ),
    ((20, 10), (20, 10, 24), tell("overlay networks with encryption could be in the clear (CVE-2023-28841)")),
    ((23, 0), (23, 0, 3), tell("overlay networks with encryption could be in the clear (CVE-2023-28841)")),
    ((24, 0), (24, 0, 9), tell("what a build does could reach beyond it (CVE-2024-23651)")),
    ((25, 0), (25, 0, 2), tell("what a build does could reach beyond it (CVE-2024-23651)")),
    (
        (0, 0),
        (29, 5, 1),
        tell(
            "a compressed archive that is put into a container is unpacked by programs of the container, as "
            "root of the host (CVE-2026-41567). LibGo sends plain archives only; “docker cp -” takes any"
        ),
    ),
)
_NUMBERS = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


def engine_advice(version: str, *, live_restore: bool, engine: str = "docker") -> list[str]:
    """Sentences, most pressing first; nothing for what is as it should be."""
    if engine != "docker":
        return []
    found = _old(version)
    if not live_restore:
        found.append(
            "live-restore is off: a restart or an update of the Docker daemon stops every container. Set "
            '"live-restore": true in /etc/docker/daemon.json (not together with Swarm).'
        )
    return found


def _old(version: str) -> list[str]:
    numbers = _NUMBERS.match(version)
    if numbers is None:
        return []
    is_now = (int(numbers[1]), int(numbers[2]), int(numbers[3] or 0))
    found = []
    for line, good, why in _MENDED:
        if is_now < good and (line == (0, 0) or is_now[:2] == line):
            wanted = ".".join(map(str, good))
            found.append(f"Docker {version[:32]} is older than {wanted}: {why}. Update it.")
    return found
