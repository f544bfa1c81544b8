"""Run the application with uvicorn, and end it without losing a request."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Generator
from types import FrameType
from typing import TYPE_CHECKING

from bertsent.system import HungUp, Terminated, check_interrupts
from bertsent.wording import spell

if TYPE_CHECKING:
    from bertsent.serving.app import Service

__all__ = ["bind", "require_libraries", "run_server"]

# Connections whose client may be sending a request right now are kept open for so long.
_IDLE_SECONDS = 0.5
# How long answers may take to be sent when everything is computed.
_SENDING_SECONDS = 10
# Above that of the clients and proxies that reuse connections, so that these close them.
_KEEP_ALIVE_SECONDS = 75
_ENDS: dict[int, type[KeyboardInterrupt]] = {
    signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated, signal.SIGHUP: HungUp,
}


def require_libraries() -> None:
    """Raise an error that says how to install what the server needs."""
    try:
        import httptools  # noqa: F401
        import prometheus_client  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"the server needs further packages ({error}): pip install 'bertsent[serve]'"
        ) from None


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address, but does not listen yet.

    Raises
    ------
    OSError
        The port is in use, or the address is not one of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise OSError(f"{spell('host', host)} is not an address: {reason}") from None
    found = socket.socket(family, kind, protocol)
    try:
        # A new server can start at once, although connections of the last one are still closing.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        # Two sockets can be bound to one port as long as neither listens.
        found.listen(0)
    except OSError as error:
        found.close()
        raise _explained(error, host, port) from None
    return found


def _explained(error: OSError, host: str, port: int) -> OSError:
    """Return an error with advice."""
    if error.errno == errno.EADDRINUSE:
        return OSError(
            f"port {port} of {host} is in use; choose another one with {spell('port')}, or "
            f"{spell('port', 0)} for any that is free"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return OSError(f"{spell('host', host)} is not an address of this machine")
    return OSError(f"cannot listen on port {port} of {host}: {error.strerror}")


def run_server(
    service: Service,
    listener: socket.socket,
    started: Callable[[str], None],
    host: str = "localhost",
) -> None:
    """Answer requests until a signal comes, and then finish those that were accepted.

    Ctrl-C, SIGTERM and SIGHUP end the server: it takes no more connections, answers all requests
    that it has, and returns. A second signal ends it at once.

    Parameters
    ----------
    service : Service
    listener : socket
        As `bind` returns it. It is closed.
    started : callable
        Called with the address when requests are answered.
    host : str, default="localhost"
        The name that was bound. If only this machine can connect, requests must name it, or the
        address, or localhost, in their header ``Host``: a page whose name was made to point to
        this machine does not.

    Raises
    ------
    KeyboardInterrupt
        A second signal was received; requests are lost.
    """
    import uvicorn

    from bertsent.serving.app import make_app
    from bertsent.serving.protocol import LimitedProtocol

    class Server(uvicorn.Server):
        """A server that ends as above; that of uvicorn can lose requests and ends by a signal."""

        first = 0  # the signal that ended it

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            service.start()
            await super().startup(sockets)
            if not self.should_exit:
                started(_address(listener))

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            service.closing = True
            await self._close_listener()
            # A client that keeps its connection may be sending the next request right now. The
            # answer to it says that the connection is closed.
            quiet = time.monotonic()
            while self.server_state.connections and time.monotonic() - quiet <= _IDLE_SECONDS:
                if service.active:
                    quiet = time.monotonic()
                await asyncio.sleep(0.02)
            for connection in list(self.server_state.connections):
                connection.shutdown()  # when its answer is sent
            begun = time.monotonic()
            while self.server_state.connections and time.monotonic() - begun <= _SENDING_SECONDS:
                await asyncio.sleep(0.02)
            self._abort()
            await asyncio.to_thread(service.close)

        async def _close_listener(self) -> None:
            """Close the listener, and take the connections that still wait to be accepted.

            They would be reset, although their clients believe that they are connected. There is no
            `await` before the listener is closed, so that none can come while others are taken.
            """
            waiting = []
            with contextlib.suppress(OSError):  # none waits, or there are too many open files
                while True:
                    with contextlib.suppress(ConnectionAbortedError):  # its client gave up
                        waiting.append(listener.accept()[0])
            for server in self.servers:
                server.close()
            loop = asyncio.get_running_loop()
            for connection in waiting:
                with contextlib.suppress(OSError):
                    await loop.connect_accepted_socket(self._protocol, connection)
            # asyncio needs three rounds until what it accepted itself is in `connections`.
            for _ in range(3):
                await asyncio.sleep(0)

        def _protocol(self) -> asyncio.Protocol:
            make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
            return make(
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )

        def _abort(self) -> None:
            """Close all connections without sending the rest of their answers."""
            for connection in list(self.server_state.connections):
                connection.transport.abort()

        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            self._loop = asyncio.get_running_loop()
            found = {number: signal.getsignal(number) for number in _ENDS}
            # nohup ignores SIGHUP, and shells let background jobs ignore Ctrl-C. None means that a
            # program in which Python is embedded handles the signal.
            before = {
                number: handler for number, handler in found.items()
                if handler not in (signal.SIG_IGN, None)
            }
            try:
                for number in before:
                    signal.signal(number, self.handle_exit)
                check_interrupts()  # a signal that came before
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if not self.should_exit:
                self.should_exit = True
                self.first = sig
            # Closing a terminal often causes two of these.
            elif not sig == self.first == signal.SIGHUP:
                # An error that is raised here could be caught by what is running, but one that is
                # raised by the event loop ends it.
                self._loop.call_soon_threadsafe(self._stop, sig)

        def _stop(self, sig: int) -> None:
            log.setLevel(logging.CRITICAL)  # that requests are cancelled is no news
            self._abort()
            raise _ENDS[sig]("the server was stopped; requests are lost")

    # It warns of every connection that sends something else than HTTP.
    log = logging.getLogger("uvicorn.error")
    log.setLevel(logging.ERROR)
    # The thread that computes takes the GIL between two batches; this one must not keep it.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    # After a second signal, the handler that asyncio has put there would stay.
    before = signal.getsignal(signal.SIGINT)
    try:
        Server(uvicorn.Config(
            make_app(service, _hosts(listener, host)), lifespan="off", http=LimitedProtocol,
            ws="none", log_config=None, access_log=False,
            server_header=False, timeout_keep_alive=_KEEP_ALIVE_SECONDS, loop="asyncio",
        )).run(sockets=[listener])
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
        sys.setswitchinterval(interval)
        listener.close()


def _hosts(listener: socket.socket, host: str) -> frozenset[str] | None:
    """Return the values of ``Host`` that requests may have; None stands for all."""
    address = ipaddress.ip_address(listener.getsockname()[0].partition("%")[0])
    if not address.is_loopback:
        return None
    found = {"localhost", "127.0.0.1", "[::1]", host.lower()}
    return frozenset(found | {f"[{address}]" if address.version == 6 else str(address)})


def _address(listener: socket.socket) -> str:
    """Return the address of a listener for people."""
    host, port, *_ = listener.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
