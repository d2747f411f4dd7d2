"""An HTTP server for ASGI applications: listen, serve until a signal, drain."""

import contextlib
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import uvicorn

from telemetry import TelemetryError
from telemetry.logger import get_logger
from telemetry.web.asgi import App
from telemetry_cli.output import err
from telemetry_runtime.certificates import check_files
from telemetry_runtime.http.http_protocol import forgiving_protocol
from telemetry_runtime.http.limited_connections import limited_protocol
from telemetry_runtime.http.timed_http import timed_protocol
from telemetry_runtime.listening import join_listen_address, split_listen_address
from telemetry_runtime.watched_files import WatchedFiles

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_MakeContext = Callable[[], ssl.SSLContext]
_log = get_logger(__name__)


class ServingError(TelemetryError):
    """Serving an application failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The settings of the server of an application.

    Attributes:
        drain_timeout: How long to wait for running requests after a signal.
        head_timeout: How long receiving the request line and the headers may take.
        max_connections: The maximum number of connections; further ones get a 503 response. None: unlimited.
        certificate: PEM files of the certificate chain and of its key, reloaded when they change. None: plain text.
        trusted_proxies: Addresses whose `X-Forwarded-For` and `X-Forwarded-Proto` are trusted.
    """

    drain_timeout: timedelta = timedelta(seconds=10)
    head_timeout: timedelta = timedelta(seconds=10)
    max_connections: int | None = None
    certificate: tuple[Path, Path] | None = None
    trusted_proxies: Sequence[str] = ()


def serve_app(app: App, listen_addr: str, serving: Serving | None = None) -> None:
    """Serve until SIGTERM or SIGINT, wait for running requests up to the drain timeout, and return.

    Print `listening on HOST:PORT` on standard error when clients can connect.

    Args:
        app: The application. Its lifespan is run.
        listen_addr: `host:port`; port 0 uses any free port.
        serving: The settings of the server.

    Raises:
        ServingError: The address is in use or not of this machine, or the application did not start.
    """
    with _listening_socket(listen_addr) as listening:
        host, _ = split_listen_address(listen_addr)
        address = join_listen_address(host, listening.getsockname()[1])

        def ready() -> None:
            _log.info("ready", address=address)
            err.print(f"listening on {address}", highlight=False, markup=False, soft_wrap=True)

        server = _Server(_config(app, serving or Serving()), ready)
        with _uvicorns_log():
            try:
                server.run(sockets=[listening])
            except SystemExit:  # raised by uvicorn if the lifespan of the application fails
                failed = True
            else:
                failed = False
    if failed:
        raise ServingError("the application did not start; see the log for the reason")
    _log.info("stopped")


def _listening_socket(listen_addr: str) -> socket.socket:
    host, port = split_listen_address(listen_addr)
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        problem = str(error.strerror).partition(" (")[0]  # the rest repeats the address
        raise ServingError(f"cannot listen on {listen_addr}: {problem}") from None


def _config(app: App, serving: Serving) -> uvicorn.Config:
    certificate, key = serving.certificate or (None, None)
    return uvicorn.Config(
        app,  # pyright: ignore[reportArgumentType]
        http=timed_protocol(limited_protocol(forgiving_protocol(), serving.max_connections), serving.head_timeout),
        loop="auto",
        ws="none",
        lifespan="on",
        log_config=None,
        # SECURITY: no access log, because it would contain addresses, and paths with data of clients.
        access_log=False,
        server_header=False,
        # SECURITY: forwarded addresses, which can be forged, are trusted only from the proxies in the settings.
        proxy_headers=bool(serving.trusted_proxies),
        forwarded_allow_ips=list(serving.trusted_proxies),
        timeout_graceful_shutdown=max(1, round(serving.drain_timeout.total_seconds())),
        ssl_certfile=certificate,
        ssl_keyfile=key,
        ssl_context_factory=None if serving.certificate is None else _renewed(*serving.certificate),
    )


def _renewed(certificate: Path, key: Path) -> Callable[[uvicorn.Config, _MakeContext], ssl.SSLContext]:
    """Return a factory of TLS contexts that reload the files: each handshake uses their current content."""

    def make(_config: uvicorn.Config, context_of_files: _MakeContext) -> ssl.SSLContext:
        def read() -> ssl.SSLContext:
            check_files(authorities=None, certificate=certificate, key=key)
            return context_of_files()

        files = WatchedFiles([certificate, key], read)

        def use_the_newest(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            connection.context = files.content()

        context = files.content()
        context.sni_callback = use_the_newest  # called at every handshake, with or without a server name
        return context

    return make


class _Server(uvicorn.Server):
    """A server that calls `ready`, and exits normally after a signal: uvicorn would raise the signal again."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in _STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Relay(logging.Handler):
    """A handler that forwards the log of uvicorn, without the messages of exceptions."""

    def emit(self, record: logging.LogRecord) -> None:
        facts: dict[str, Any] = {}
        if record.exc_info and record.exc_info[1] is not None:
            # SECURITY: only the class and the place, because the message of an error may quote data of a client.
            error, traceback = record.exc_info[1], record.exc_info[2]
            while traceback is not None and traceback.tb_next is not None:
                traceback = traceback.tb_next
            facts["error"] = type(error).__name__
            if traceback is not None:
                facts["place"] = f"{Path(traceback.tb_frame.f_code.co_filename).name}:{traceback.tb_lineno}"
        _log.log(record.levelno, record.getMessage().strip().partition("\n")[0], **facts)


@contextlib.contextmanager
def _uvicorns_log() -> Generator[None]:
    logger = logging.getLogger("uvicorn")
    handler, propagate = _Relay(logging.WARNING), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
