"""All parts of the bench, in the order in which they run."""

from __future__ import annotations

from tests.bench.machines import guests, machine_lists
from tests.bench.pages import pages
from tests.bench.run import Part
from tests.bench.streams import echo, followers, logs
from tests.bench.usage import usage

PARTS = (
    Part("logs", "Logs", logs, 120),
    Part("followers", "200 who follow one log", followers, 60),
    Part("echo", "The echo of a key", echo, 45),
    Part("guests", "A virtual machine from nothing", guests, 120),
    Part("machines", "Lists of virtual machines", machine_lists, 60),
    Part("usage", "A year of usage", usage, 90),
    Part("pages", "Pages in Chromium", pages, 150, needs_console=False),
)
