"""A TCP proxy that injects network faults."""

import contextlib
import random
import select
import socket
import struct
import threading
import time
from collections import Counter
from typing import Final, Literal, TypeAlias, get_args

Fault: TypeAlias = Literal["cut", "reset", "black hole", "slow", "half-close"]
"""`cut`: close; `reset`: close like a firewall (RST); `black hole`: accept everything and forward nothing;
`slow`: delay by half a second, then cut; `half-close`: close one direction."""

FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)


class FaultProxy:
    """Forwards bytes to a target, until a random or requested fault hits the connection.

    Args:
        target: Host and port, or the path of a socket.
        seed: Seed of the random faults.
        faults: Each connection gets one of these faults, after at most some kilobytes.

    Attributes:
        address: The address that it listens on, `host:port`.
        healthy: While this is set, no faults are injected.
        faults: Number of injected faults of each kind.
    """

    def __init__(self, target: tuple[str, int] | str, seed: int, faults: tuple[Fault, ...] = FAULTS) -> None:
        self._target = target
        self._faults = faults
        self._chance = random.Random(seed)  # noqa: S311 - not used for security
        self.healthy = threading.Event()
        self.faults: Counter[str] = Counter()
        self._over = threading.Event()
        self._connections: set[_Connection] = set()
        # A stream of a hundred events has some kilobytes.
        self._after_at_most = 20_000
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def inflict(self, fault: Fault) -> None:
        """Inject a fault into every open or new connection at its next byte, until `healthy` is set."""
        self._after_at_most = 0
        self._faults = (fault,)
        for each in tuple(self._connections):
            each.due(fault)
        self.healthy.clear()

    def close(self) -> None:
        """Close all connections and stop listening."""
        self._over.set()
        self.healthy.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
        self._listening.close()
        for each in tuple(self._connections):
            each.close()
        self._thread.join(10)

    def _connect(self) -> socket.socket:
        if isinstance(self._target, str):  # the path of a socket
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            return server
        return socket.create_connection(self._target)

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listening.accept()
                server = self._connect()
            except OSError:
                continue
            fault = self._chance.choice(self._faults)
            after = self._chance.randrange(0, self._after_at_most) if self._after_at_most else 0
            shared = _Connection(self, client, server, fault, after)
            self._connections.add(shared)
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(shared, source, sink), daemon=True).start()

    def _pump(self, shared: "_Connection", source: socket.socket, sink: socket.socket) -> None:
        shared.pump(source, sink)
        if shared.is_over():
            shared.close()
            self._connections.discard(shared)


class _Connection:
    def __init__(
        self, proxy: FaultProxy, client: socket.socket, server: socket.socket, fault: Fault, after: int
    ) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._fault, self._left = fault, after
        self._lock = threading.Lock()
        self._done = False
        self._directions = 2
        self._delays = 10  # after these, a slow connection is cut

    def due(self, fault: Fault) -> None:
        """Inject the fault with the next byte."""
        self._fault = fault
        self._left = 0

    def is_over(self) -> bool:
        """Record that one direction has ended; return whether both have."""
        with self._lock:
            self._directions -= 1
            return self._directions == 0

    def close(self) -> None:
        """Close both sides."""
        for each in (self._client, self._server):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # wakes the reading thread
            each.close()

    def pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):  # the other direction may have closed them
            while data := source.recv(4_096):
                if not self._proxy.healthy.is_set() and self._is_due(len(data)) and not self._do(source, sink):
                    return
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def _is_due(self, size: int) -> bool:
        with self._lock:
            self._left -= size
            return self._left <= 0

    def _do(self, source: socket.socket, sink: socket.socket) -> bool:
        """Inject the fault; return whether the bytes are still forwarded."""
        with self._lock:
            first, self._done = not self._done, True
        if first:
            self._proxy.faults[self._fault] += 1
        if self._fault == "slow" and self._delays:
            self._delays -= 1
            time.sleep(0.05)
            return True
        if self._fault == "black hole":
            self._swallow(source)
        elif self._fault == "half-close":
            sink.shutdown(socket.SHUT_WR)
            return False
        elif self._fault == "reset":
            for each in (self._client, self._server):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for each in (self._client, self._server):
            # Wakes the reading thread: while a thread reads from a socket, closing it does not reach the peer.
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RD if self._fault == "reset" else socket.SHUT_RDWR)
            each.close()
        return False

    def _swallow(self, source: socket.socket) -> None:
        """Read and discard everything, until the sender gives up or the proxy is healthy again."""
        waiting = select.poll()
        waiting.register(source, select.POLLIN)
        while not self._proxy.healthy.is_set():
            if waiting.poll(100) and not source.recv(4_096):
                return
