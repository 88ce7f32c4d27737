"""Hostile ends in a real browser: another site, a program in a terminal, a screen's server."""

from __future__ import annotations

import http.server
import struct
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, WebSocketRoute, expect

from tests.attacks.catalogue import attack
from tests.live import LiveConsole, until

_DEMO = {"image": "libgo/demo:latest", "network_mode": "none", "command": ["sleep", "600"]}
_MARKUP = "<img src=x onerror=\"document.title='owned'\">"


# -- another site ---------------------------------------------------------------------------------


class _Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>a harmless site</title>")

    def log_message(self, format: str, *args: Any) -> None:
        return None


@pytest.fixture
def other_port() -> Iterator[int]:
    """Another site on the same machine: cookies know no ports, so the browser sends ours along."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield int(server.server_address[1])
    server.shutdown()
    server.server_close()


_OPEN = """([url, words]) => new Promise((done) => {
    const heard = [], socket = new WebSocket(url, words);
    socket.onmessage = (message) => heard.push(JSON.parse(message.data).type);
    socket.onclose = (event) => done({ code: event.code, heard });
    setTimeout(() => done({ code: 0, heard }), 5000);
})"""
_POST = """([url, type]) => fetch(url, { method: "POST", mode: "no-cors", credentials: "include",
    headers: { "Content-Type": type }, body: JSON.stringify({ name: "planted" }) })
    .then(() => "sent", () => "not sent")"""
_READ = (
    """(url) => fetch(url, { credentials: "include" }).then((answer) => answer.text(), () => "not read")"""
)


@attack(
    "S17 S21",
    "a page of another site in the browser of somebody who is signed in: sockets with the cookie, posts, "
    "reads",
    refused="sockets are closed with 4401 and told nothing; nothing is made; nothing can be read",
    audit="no row of the victim's",
)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_another_site_reaches_nothing(
    context: BrowserContext, live: LiveConsole, other_port: int, host: str
) -> None:
    before = [row["id"] for row in live.get("/audit?page_size=50")["items"]]
    page = context.new_page()
    page.goto(f"http://{host}:{other_port}/")
    for path in ("/ws/v1/events", "/ws/v1/usage"):
        found = page.evaluate(_OPEN, [f"ws://127.0.0.1:{live.port}{path}", ["libgo.v1"]])
        assert found == {"code": 4401, "heard": ["error"]}, (path, found)
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        page.evaluate(_POST, [f"{live.url}/api/v1/projects", kind])
        page.evaluate(_POST, [f"{live.url}/projects/new", kind])
    assert page.evaluate(_READ, f"{live.url}/api/v1/profile") == "not read"
    assert page.evaluate(_READ, f"{live.url}/instances") == "not read"
    assert "planted" not in str(live.get("/projects?page_size=500"))
    assert [row["id"] for row in live.get("/audit?page_size=50")["items"]] == before
    page.goto(f"{live.url}/instances")
    own = page.evaluate(_OPEN, [f"ws://127.0.0.1:{live.port}/ws/v1/events", ["libgo.v1"]])
    assert own["code"] != 4401, "the same socket opens for a page of LibGo's own"


# -- what an engine tells a page that asks ----------------------------------------------------------


@attack(
    "S67",
    "markup in the names of processes and files of a container, on the pages that ask the engine for them",
    refused="text, in a browser that would run it",
)
@pytest.mark.parametrize("tab", ["processes", "changes", "files"])
def test_what_a_container_calls_its_things_is_text(
    context: BrowserContext, live: LiveConsole, name: str, tab: str
) -> None:
    file = _MARKUP.replace("'", "")
    command = ["/bin/sh", "-c", f"touch '/{file}'; sleep 600; true", _MARKUP]
    made = live.create(name, "docker", config={**_DEMO, "command": command})
    page = context.new_page()
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.goto(f"{live.url}/docker/instances/{made['id']}/{tab}")
    expect(page.locator("main")).to_contain_text("<img src=x onerror=", timeout=15000)
    assert page.locator("img[src=x]").count() == 0
    assert page.title() != "owned" and asked == []


# -- a program in a terminal ----------------------------------------------------------------------

# What asks the terminal for something that it would type into the shell, and what would change the page.
_ASKS = [
    r"\033]0;touch /tmp/owned\007\033[21t\033[20t",
    r"\033]2;owned\007",
    r"\033P$qtouch /tmp/owned\033\\",
    r"\033P+q746f756368\033\\",
    r"\005",
    r"\033]52;c;b3duZWQ=\007\033]52;c;?\007",
    r"\033]8;;javascript:document.title=1\007click\033]8;;\007",
    r"\033]8;;https://evil.example/\007here\033]8;;\007",
    r"\033]777;notify;owned;owned\007\033]9;owned\007",
    r"\033]1337;File=inline=1:b3duZWQ=\007",
]


def _inside(name: str, command: str) -> str:
    return subprocess.run(
        ["docker", "exec", name, "/bin/sh", "-c", command], capture_output=True, text=True, check=False
    ).stdout


def _shell(page: Page, live: LiveConsole, instance: str) -> None:
    page.goto(f"{live.url}/instances/{instance}/terminal")
    expect(page.locator("#terminal-state")).to_have_text("Connected", timeout=15000)


def _type(page: Page, text: str) -> None:
    page.locator("#terminal .xterm-helper-textarea").focus()
    page.keyboard.insert_text(text)
    page.keyboard.press("Enter")


@attack(
    "S69",
    "a program in a terminal: clipboard, titles, links, and questions whose answer is typed into the shell",
    refused="clipboard, title and page are as they were, no link leads anywhere; what is typed back holds no "
    "word of the program's",
)
def test_a_program_in_a_terminal_types_nothing_and_changes_nothing(
    context: BrowserContext, live: LiveConsole, name: str
) -> None:
    made = live.create(name, "docker", config=_DEMO)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=live.url)
    page = context.new_page()
    left: list[str] = []
    asked: list[str] = []
    context.on("page", lambda opened: left.append(opened.url))
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    _shell(page, live, made["id"])
    title = page.title()
    page.evaluate("() => navigator.clipboard.writeText('mine')")
    sequences = "".join(_ASKS).replace("'", "'\\''")
    _type(
        page,
        f"stty -echo -icanon min 0 time 20; printf '{sequences}'; cat -v > /tmp/typed; "
        "stty sane; touch /tmp/done",
    )
    until(lambda: "/tmp/done" in _inside(name, "ls /tmp/done"), "the answers were read", 30)
    typed = _inside(name, "cat /tmp/typed")
    assert "owned" not in typed and "touch" not in typed and "746f" not in typed, typed
    assert "/tmp/owned" not in _inside(name, "ls /tmp/owned")
    for word in ("click", "here"):
        _click_word(page, word)
    assert page.evaluate("() => navigator.clipboard.readText()") == "mine"
    assert page.title() == title and left == [] and asked == []
    assert page.url.startswith(live.url)


def _click_word(page: Page, word: str) -> None:
    """In the terminal: where the first cell of it is painted."""
    place = page.evaluate(
        """(word) => {
            const terminal = libgo.terminal, buffer = terminal.buffer.active;
            const box = document.querySelector("#terminal .xterm-screen").getBoundingClientRect();
            for (let row = 0; row < terminal.rows; row++) {
                const line = buffer.getLine(buffer.viewportY + row);
                const at = line ? line.translateToString(true).lastIndexOf(word) : -1;
                if (at >= 0) return {
                    x: box.x + (at + 1.5) * box.width / terminal.cols,
                    y: box.y + (row + 0.5) * box.height / terminal.rows,
                };
            }
            return null;
        }""",
        word,
    )
    assert place is not None, f"“{word}” is not shown"
    page.mouse.move(place["x"] - 3, place["y"])
    page.mouse.move(place["x"], place["y"])
    time.sleep(0.5)
    page.mouse.click(place["x"], place["y"])
    time.sleep(0.5)


@attack(
    "S69",
    "a program that writes escapes without end into a terminal",
    refused="the page goes on answering, and Ctrl-C ends it",
)
def test_escapes_without_end_do_not_stop_the_page(
    context: BrowserContext, live: LiveConsole, name: str
) -> None:
    made = live.create(name, "docker", config=_DEMO)
    page = context.new_page()
    _shell(page, live, made["id"])
    _type(page, r"E=$(printf '\033[31;1mx\033]0;t\007\033[2J\033[1;1H'); yes \"$E$E$E$E\"")
    until(lambda: "yes" in _inside(name, "ps"), "it runs", 20)
    for _ in range(5):
        began = time.monotonic()
        page.evaluate("() => document.title")
        assert time.monotonic() - began < 5
        time.sleep(1)
    page.locator("#terminal .xterm-helper-textarea").focus()
    page.keyboard.press("Control+c")
    until(lambda: "yes" not in _inside(name, "ps"), "it ended", 60)


# -- the server of a screen -----------------------------------------------------------------------


def _hello(width: int = 16, height: int = 16, name: bytes = b"vm") -> bytes:
    formats = struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
    return struct.pack(">HH", width, height) + formats + struct.pack(">I", len(name)) + name


# noVNC looks for these on a socket itself; Playwright's stands further up.
_OWN_PROPERTIES = """
    const Routed = window.WebSocket;
    window.WebSocket = function (...given) {
        const made = new Routed(...given);
        for (const key of ["binaryType", "onerror", "onmessage", "onopen", "onclose", "protocol",
                           "readyState"]) {
            let from = made;
            while (from && !Object.getOwnPropertyDescriptor(from, key)) from = Object.getPrototypeOf(from);
            const found = from && Object.getOwnPropertyDescriptor(from, key);
            if (found && found.get) Object.defineProperty(made, key, {
                get: () => found.get.call(made), set: (value) => found.set && found.set.call(made, value),
                enumerable: true, configurable: true });
        }
        for (const key of ["send", "close"]) {
            Object.defineProperty(made, key, { value: made[key].bind(made), enumerable: true });
        }
        return made;
    };
    Object.assign(window.WebSocket, { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 });
"""
_RED = b"\x00\x00\xff\x00"
_SCREENS = {
    "a name of markup": [_hello(name=_MARKUP.encode())],
    "a name of 4 GiB": [_hello()[:-6] + struct.pack(">I", 2**32 - 1) + b"x" * 65536],
    "clipboard of markup": [_hello(), struct.pack(">BxxxI", 3, len(_MARKUP)) + _MARKUP.encode()],
    "clipboard of 2 GiB": [_hello(), struct.pack(">BxxxI", 3, 2**31 - 1) + b"x" * 65536],
    "a screen of 65535 x 65535": [_hello(65535, 65535)],
    "a size that changes to 65535 x 65535": [
        _hello(),
        struct.pack(">BxH", 0, 1) + struct.pack(">HHHHi", 0, 0, 65535, 65535, -223),
    ],
    "a rectangle outside the screen": [
        _hello(),
        struct.pack(">BxH", 0, 1) + struct.pack(">HHHHi", 60000, 60000, 4, 4, 0) + _RED * 16,
    ],
    "an encoding that is none": [
        _hello(),
        struct.pack(">BxH", 0, 1) + struct.pack(">HHHHi", 0, 0, 4, 4, 31337),
    ],
    "a message that is none": [_hello(), b"\xfe" * 64],
    "bells without end": [_hello(), b"\x02" * 100_000],
}


@attack(
    "S70",
    "a screen's server that lies: names and clipboards of markup or gigabytes, screens and pieces that "
    "cannot be, words that are none",
    refused="text stays text; the page goes on answering",
)
@pytest.mark.parametrize("screen", _SCREENS.values(), ids=_SCREENS.keys())
def test_a_hostile_screen_is_only_a_screen(
    context: BrowserContext, live: LiveConsole, screen: list[bytes], machine: str
) -> None:
    page = context.new_page()
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    talked: list[bytes] = []

    def serve(route: WebSocketRoute) -> None:
        """As RFC 6143 has it, up to what each screen says."""

        def heard(message: Any) -> None:
            talked.append(bytes(message))
            answers = {1: b"\x01\x01", 2: b"\x00\x00\x00\x00"}
            if len(talked) in answers:
                route.send(answers[len(talked)])
            elif len(talked) == 3:
                for piece in screen:
                    route.send(piece)

        route.on_message(heard)
        route.send(b"RFB 003.008\n")

    page.route_web_socket("**/vnc", serve)
    page.add_init_script(_OWN_PROPERTIES)
    page.goto(f"{live.url}/instances/{machine}/screen")
    expect(page.locator("#screen-state")).to_be_visible()
    try:
        until(lambda: page.evaluate("() => 1") == 1 and len(talked) >= 3, "it was shown its screen", 20)
    except AssertionError as error:
        said = page.locator("#screen-card").inner_text()
        raise AssertionError(f"{error}; heard {talked}; the page says: {said}") from error
    page.wait_for_timeout(1500)
    assert page.evaluate("() => document.title") != "owned" and asked == []
    assert page.locator("#screen img[src=x], #screen-card img[src=x]").count() == 0
    page.goto(f"{live.url}/instances/{machine}")
    expect(page.locator("h1, h2").first).to_be_visible()


@pytest.fixture(scope="module")
def machine(live: LiveConsole) -> Iterator[str]:
    """One with a screen; its server is played by the tests."""
    made = live.create(f"libgo-t-{uuid.uuid4().hex[:8]}", "kvm")
    yield str(made["id"])
    answer = live.api("DELETE", f"/compute/instances/{made['id']}?force=true&wait=60")
    assert answer.status_code == 200, answer.text
