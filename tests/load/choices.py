"""What everybody in the storm will do: drawn from the seed alone, so that a seed does the same again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

OWN, SHARED = 2, 4
# What containers, machines and browsers do, and how often beside the others.
CONTAINER = {
    "create": 14,
    "start": 8,
    "stop": 8,
    "restart": 5,
    "pause": 4,
    "unpause": 5,
    "delete": 9,
    "label": 5,
    "exec": 6,
    "logs": 4,
    "file": 4,
    "clone": 2,
    "cancel": 3,
    "bulk": 2,
    "volume": 5,
    "list": 9,
    "read": 6,
    "look": 6,
}
MACHINE = {
    "create": 12,
    "start": 9,
    "stop": 8,
    "restart": 2,
    "delete": 7,
    "snapshot": 5,
    "label": 3,
    "list": 6,
    "read": 6,
}
BROWSER = {"dashboard": 6, "instances": 14, "instance": 12, "other": 10, "press": 7, "logs": 3}
DISASTERS = (
    "worker killed",
    "engine killed and started",
    "broker flushed",
    "watcher killed",
    "libvirt killed and started",
    "web killed",
    "engine frozen for 3 s",
    "beat killed",
)


@dataclass(frozen=True)
class Choice:
    """``slot``: which of one's names, from ``OWN`` on those that all share. ``many``: for all else."""

    action: str
    slot: int
    many: int
    waits: bool
    pause_s: float


def choices(seed: int, who: str, weights: dict[str, int], pause_s: float) -> Iterator[Choice]:
    """Without an end. Each takes as many draws as any other, so nothing shifts what follows."""
    chance = random.Random(f"{seed}:{who}")
    actions, sums = list(weights), list(accumulate(weights.values()))
    while True:
        action = chance.choices(actions, cum_weights=sums)[0]
        slot, many = chance.randrange(OWN + SHARED), chance.randrange(1_000_000)
        waits, pause = chance.random() < 0.4, chance.uniform(0.2, 1.8) * pause_s
        yield Choice(action, slot, many, waits, pause)


# Those that end a process of LibGo.
DEATHS = frozenset(kind for kind in DISASTERS if kind.endswith(" killed"))


def disasters(
    seed: int, seconds: float, calm_s: float, every_s: float, age_s: float = 0
) -> list[tuple[float, str]]:
    """When what breaks: every kind in a random order, again and again; calm at the beginning and the end.
    No process of LibGo is killed in the last ``age_s``, for who is killed all the time cannot leak."""
    chance = random.Random(f"{seed}:disasters")
    planned: list[tuple[float, str]] = []
    at_s = calm_s
    while at_s < seconds - calm_s:
        kinds = list(DISASTERS)
        chance.shuffle(kinds)
        for kind in kinds:
            if at_s < seconds - (max(calm_s, age_s) if kind in DEATHS else calm_s):
                planned.append((at_s, kind))
            at_s += every_s * chance.uniform(0.8, 1.2)
    return planned
