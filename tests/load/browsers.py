"""People's browsers: sessions which load pages with their scripts, hold the sockets that the scripts
hold, and ask again for what a fact concerns, as the scripts do. Chromium itself looks on besides."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import orjson
import requests
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from tests.live import PASSWORD
from tests.load.choices import Choice
from tests.load.ledger import Ledger
from tests.people import Caller

_OTHERS = (
    "/operations",
    "/nodes",
    "/docker/volumes",
    "/docker/images",
    "/networks/map",
    "/limits",
    "/tasks/line",
)
_PARTS = re.compile(r'data-live="[^"]*"[^>]*?hx-get="([^"]+)"')
_FILES = re.compile(r'(?:src|href)="(/static/[^"]+)"')
_ROWS = re.compile(r'<tr id="row-([0-9a-f-]{36})"')
_LOOK_S = 0.5
# When the line broke.
_AGAIN_S = 1.0


class Sockets:
    """The event loop of all sockets."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="sockets", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


class Browser:
    def __init__(
        self,
        caller: Caller,
        chosen: Iterator[Choice],
        ledger: Ledger,
        over: threading.Event,
        sockets: Sockets,
    ) -> None:
        self.name = f"browser-{caller.username}"
        self._caller, self._chosen, self._ledger, self._over = caller, chosen, ledger, over
        self._sockets, self._url = sockets, caller.live.url
        self._http = requests.Session()
        self._http.trust_env = False
        self._seen_files: set[str] = set()
        # The fragments of the page that is open, and whether a fact came since they were loaded.
        self._parts: list[str] = []
        self._stale = threading.Event()
        self._rows: list[str] = []

    def run(self) -> None:
        events = None
        try:
            events = asyncio.run_coroutine_threadsafe(self._events(), self._sockets.loop)
            while not self._over.is_set():
                choice = next(self._chosen)
                getattr(self, f"_{choice.action}")(choice)
                self._stay(choice.pause_s)
        except Exception as error:
            self._ledger.wonder(f"{self.name} gave up: {type(error).__name__}: {error}")
            raise
        finally:
            if events is not None:
                events.cancel()
            self._http.close()

    def log_in(self) -> Browser:
        self._http.get(f"{self._url}/login", timeout=60)
        token = self._http.cookies["csrftoken"]
        given = {"username": self._caller.username, "password": PASSWORD, "csrfmiddlewaretoken": token}
        answer = self._http.post(f"{self._url}/login", given, headers={"Referer": self._url}, timeout=60)
        assert answer.ok and "sessionid" in self._http.cookies, answer.text[:300]
        return self

    def _stay(self, seconds: float) -> None:
        """On the page: what facts concern is loaded again, twice a second at most."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self._over.wait(min(left, _LOOK_S)):
            if self._stale.is_set():
                self._stale.clear()
                for part in self._parts:
                    self._get("part", part, {"HX-Request": "true"})

    def _get(self, what: str, path: str, headers: dict[str, str] | None = None) -> str:
        began, status, text = time.monotonic(), 0, ""
        try:
            answer = self._http.get(f"{self._url}{path}", headers=headers, timeout=60)
            status, text = answer.status_code, answer.text
        except requests.RequestException:
            self._over.wait(_AGAIN_S)
        self._ledger.page(self._caller.username, what, status, time.monotonic() - began, text)
        return text if status == 200 else ""

    def _open(self, what: str, path: str) -> str:
        """A page with its scripts and styles, which a browser keeps."""
        text = self._get(what, path)
        self._parts = [part.replace("&amp;", "&") for part in _PARTS.findall(text)]
        if what == "instances":
            self._parts.append(path)
        for file in sorted(set(_FILES.findall(text)) - self._seen_files):
            self._seen_files.add(file)
            self._get("static", file)
        return text

    def _dashboard(self, choice: Choice) -> None:
        self._open("dashboard", "/")

    def _instances(self, choice: Choice) -> None:
        query = ("", "?state=running", "?q=storm", "?size=200")[choice.many % 4]
        self._rows = _ROWS.findall(self._open("instances", f"/instances{query}")) or self._rows

    def _instance(self, choice: Choice) -> None:
        tab = ("", "/events", "/logs", "/config")[choice.many % 4]
        if row := self._row(choice):
            self._open("instance", f"/instances/{row}{tab}")

    def _other(self, choice: Choice) -> None:
        self._open("other", _OTHERS[choice.many % len(_OTHERS)])

    def _press(self, choice: Choice) -> None:
        """A button of the list."""
        row = self._row(choice)
        if not row:
            return
        verb = ("start", "stop", "restart")[choice.many % 3]
        headers = {"X-CSRFToken": self._http.cookies.get("csrftoken", ""), "Referer": self._url}
        began, status, text = time.monotonic(), 0, ""
        with contextlib.suppress(requests.RequestException):
            url = f"{self._url}/instances/{row}/do/{verb}"
            answer = self._http.post(
                url, {"force": "1"}, headers={**headers, "HX-Request": "true"}, timeout=60
            )
            status, text = answer.status_code, answer.text
        self._ledger.page(self._caller.username, "press", status, time.monotonic() - began, text)

    def _logs(self, choice: Choice) -> None:
        """The log of one for a while, as its tab follows it."""
        if row := self._row(choice):
            work = self._listen(f"/instances/{row}/logs?tail=20", lambda fact: None)
            following = asyncio.run_coroutine_threadsafe(work, self._sockets.loop)
            self._stay(choice.pause_s * 2)
            following.cancel()

    def _row(self, choice: Choice) -> str:
        return self._rows[choice.many % len(self._rows)] if self._rows else ""

    def _fact(self, message: dict[str, Any]) -> None:
        self._ledger.fact(message)
        self._stale.set()

    async def _events(self) -> None:
        """Held all the time; when the line is lost it is opened again, and everything is looked at."""
        while True:
            await self._listen("/events", self._fact)
            self._stale.set()
            await asyncio.sleep(0.5)

    async def _listen(self, path: str, told: Any) -> None:
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._http.cookies)
        url = f"{self._url.replace('http', 'ws')}/ws/v1{path}"
        words: Any = ["libgo.v1"]
        with contextlib.suppress(OSError, WebSocketException, InvalidStatus, TimeoutError):
            async with connect(
                url,
                subprotocols=words,
                proxy=None,
                origin=self._url,
                additional_headers={"Cookie": cookies},  # type: ignore[arg-type]
            ) as socket:
                async for message in socket:
                    if isinstance(message, str):
                        told(orjson.loads(message))
