"""All parts of the bench, in the order in which they run: what has targets first."""

from __future__ import annotations

from tests.bench.events import events
from tests.bench.files import files
from tests.bench.growth import growth
from tests.bench.lifecycle import execs, images, lifecycle, machine_lifecycle
from tests.bench.lists import lists
from tests.bench.machines import guests, machine_lists
from tests.bench.pages import pages
from tests.bench.processes import processes
from tests.bench.run import Part
from tests.bench.serial import serial
from tests.bench.sockets import sockets
from tests.bench.streams import echo, followers, logs
from tests.bench.usage import usage

_LISTS = """Server time, queries and processor time are those of one request: the first two in a process of
their own without server and network, the last in the web process over HTTP. Where the time of the whole list
goes: what one who has it already waits for is everything but 400 KB on their way, through the server's socket
to the client; what is between that and the server time is HTTP, the hop to a thread and back, and the wait
for the processor. The engine's own list answers from its memory, without accounts, rights or filters."""
_LIFE = """LibGo is asked with `wait`, so its answer means that the thing is done, written down and
told. “What LibGo adds” is the difference of the medians."""
_ADDED = f"""{_LIFE} Beneath a pause, and beneath what takes longer than wanted, stands where its time
went: LibGo notes when an operation came to which stage (`compute/stages.py`), from the client's request to
its answer. The engine's look after the act is LibGo's own addition; without it the mirror would only
believe what was done. A stage that is far longer than the processor time in it waited for the machine."""
_SERIAL = """The guest boots first, without acceleration: that takes from twenty seconds to minutes."""
_GUESTS = """A guest boots without acceleration here, so what the machine does besides decides. virsh is a
process for each command, which is most of its time to the start; to the prompt both are the guest's
own time."""
_PAGES = """Chromium 1440 x 900 without a graphics card over 1,000 instances of the fake engine on four nodes,
the whole way: a change in the engine, watcher, mirror, event, socket, list, screen. “First line
painted” counts from the click; “what it found” from a letter in the search to the frame that shows
it."""
_LOGS = """Following needs the times of the lines, to read on without a gap; writing them makes the engine
itself a third slower."""
_SOCKETS = """Sockets of `/events`, of people who may have a hundred each. A busy one is told of every change;
how old a fact is when it arrives is counted from its row in the database."""

PARTS = (
    Part("processes", "Start, and memory of the processes", processes, 150, needs_console=False),
    Part("lists", "Lists and reads", lists, 150, _LISTS),
    Part("lifecycle", "The life of a container", lifecycle, 120, _ADDED),
    Part("machine_lifecycle", "The life of a machine", machine_lifecycle, 300, _ADDED),
    Part("exec", "A command in a container", execs, 30),
    Part("events", "From a change outside to the database and to a socket", events, 60),
    Part("logs", "Logs", logs, 100, _LOGS),
    Part("files", "Files of a container", files, 60),
    Part("echo", "The echo of a key in a container", echo, 30),
    Part("serial", "The echo of a key in a guest", serial, 240, _SERIAL),
    Part("sockets", "Open sockets", sockets, 110, _SOCKETS, needs_console=False),
    Part("followers", "200 who follow one log", followers, 60),
    Part("images", "Pull and build", images, 60),
    Part("growth", "Growth", growth, 240, needs_console=False),
    Part("pages", "Pages in Chromium", pages, 130, _PAGES, needs_console=False),
    Part("guests", "A virtual machine from nothing", guests, 400, _GUESTS),
    Part("machines", "Lists of virtual machines", machine_lists, 50),
    # Last: a year of a thousand stays in the console.
    Part("usage", "A year of usage", usage, 70),
)
