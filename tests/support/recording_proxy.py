"""A TCP proxy that keeps the data that clients send."""

import contextlib
import socket
import threading


class RecordingProxy:
    """Forwards bytes to a local port, and keeps those that clients send.

    Attributes:
        address: The `host:port` that it listens on.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._kept = bytearray()
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def kept(self) -> bytes:
        """Return the data that clients have sent so far on all connections."""
        with self._lock:
            return bytes(self._kept)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._thread.join(10)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._open += [client, server]
                threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, keep: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if keep:
                    with self._lock:
                        self._kept += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
