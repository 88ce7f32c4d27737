"""uvicorn's HTTP with a bound on the head of a request, which uvicorn itself lets come for ever."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# For all headers of a request together. Browsers also open connections that they may never use.
HEAD_MAX_S = 15.0
HEAD_MAX_BYTES = 64 * 1024
# Of a body, ahead of its reader; uvicorn stops at 64 KiB, which is less than one reading of a socket brings.
BODY_AHEAD_BYTES = 256 * 1024


class ImpatientProtocol(HttpToolsProtocol):
    """Hangs up on who has not sent the whole head of a request in time, or sends one without end."""

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_begins()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_over()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_timer is not None and self._head_bytes > HEAD_MAX_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head_timer is None:
            self._head_bytes = 0
            self._head_begins()

    def on_body(self, body: bytes) -> None:
        """As uvicorn's, with more of a body ahead of its reader, who pays for each piece that he takes."""
        if (self.parser.should_upgrade() and self._should_upgrade()) or self.cycle.response_complete:
            return
        self.cycle.body += body
        if len(self.cycle.body) > BODY_AHEAD_BYTES:
            self.flow.pause_reading()
        self.cycle.message_event.set()

    def on_headers_complete(self) -> None:
        self._head_is_over()
        super().on_headers_complete()

    def _head_begins(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_MAX_S, self._hang_up)

    def _head_is_over(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _hang_up(self) -> None:
        self._head_timer = None
        self.transport.abort()
