"""The protocol of uvicorn with limits for what comes before the body of a request."""

from __future__ import annotations

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bertsent.serving.forms import Refusal

__all__ = ["LimitedProtocol"]

# Bytes of the path and headers of a request, as many servers allow or fewer.
_HEAD_BYTES = 65_536
# Time in which they must arrive, as that of a body.
_HEAD_SECONDS = 30.0


class _HeadTooLarge(Exception):
    """The parser passes it on as an error of its own."""


class LimitedProtocol(HttpToolsProtocol):
    """A connection that is closed if the headers of a request are too large or too late."""

    _received = 0  # bytes, since the request began
    _parsed = 0  # of these, those of the path and of complete headers
    _in_head = False
    _too_large = False
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._start_timer()  # also for line ends, which begin no request
        # The parser keeps a header until it is complete. The data in which a request begins do not
        # count, because they can also have the body of the one before.
        if self._in_head:
            self._received += len(data)
            if self._received > _HEAD_BYTES:
                self._too_large = True
                self.send_400_response("")
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._start_timer()
        self._received, self._parsed, self._in_head = 0, 0, True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count(len(name) + len(value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._stop_timer()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        if not self._too_large:
            super().send_400_response(msg)
            return
        refusal = Refusal(
            431, "Validation",
            f"the path and headers of the request have more than {_HEAD_BYTES:,} bytes",
        )
        body = json.dumps(refusal.body()).encode()
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
        )
        self.transport.close()

    def _count(self, size: int) -> None:
        self._parsed += size
        if self._parsed > _HEAD_BYTES:
            self._too_large = True
            raise _HeadTooLarge

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(_HEAD_SECONDS, self._end_timer)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_timer(self) -> None:
        self._timer = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:  # nothing is read before an earlier request of this connection is answered
            self._start_timer()
