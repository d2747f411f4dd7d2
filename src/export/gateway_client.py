"""The client of a gateway: its gRPC channel, and streams of events over it."""

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Protocol

import grpc

from export.address import GatewayAddress
from export.credentials import TokenSource, token_source
from export.errors import CredentialsError, FailureKind, GatewayError
from export.settings import ExporterSettings
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry.v1.telemetrygateway_pb2_grpc import TelemeteryGatewayServiceStub
from telemetry_runtime.certificates import check_files
from telemetry_runtime.forks import Forkable
from telemetry_runtime.watched_files import WatchedFiles

_MAX_TEXT: Final = 300
_OPTIONS: Final = (
    # Detects a connection that a firewall dropped silently while a stream waits on it.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # The exporter retries: it knows which events were acknowledged.
    ("grpc.enable_retries", 0),
)
# SECURITY: plain text goes to the validated address, not to a proxy from the environment.
_PLAIN_TEXT_OPTIONS: Final = (*_OPTIONS, ("grpc.enable_http_proxy", 0))


class EventStream(Protocol):
    """An open stream of events to a gateway."""

    def __iter__(self) -> Iterator[pb.RecordEventsResponse]:
        """Yield the gateway's responses as they arrive.

        Raises:
            GatewayError: The stream ended with a status other than OK.
        """
        ...

    def cancel(self) -> None:
        """Cancel the stream. May be called from any thread."""
        ...


class Gateway(Protocol):
    """The gateway that an exporter sends events to."""

    def open_stream(
        self, request_id: str, batches: Iterable[pb.RecordEventsRequest], *, deadline: timedelta | None = None
    ) -> EventStream:
        """Open a stream that sends its metadata, then `batches`.

        Args:
            request_id: Identifies the stream in the logs of both sides.
            batches: The requests. Iterated over in another thread; an exception there ends the stream.
            deadline: The longest time that the stream may take; default: the deadline of the client.

        Raises:
            GatewayError: Getting credentials failed.
        """
        ...

    def close(self) -> None:
        """Close the channel."""
        ...


class GatewayClient(Forkable):
    """A client of a gateway, over gRPC.

    Args:
        address: The address of the gateway.
        identifier: The identity of the sender.
        deadline: The longest time that a stream may take.
        channel_credentials: Returns the TLS credentials. Called before each call, so that renewed certificates are used
            from the next call on. None for plain text.
        tokens: The source of bearer tokens; None to send no token.
        secrets: Texts to mask in what the gateway returns.
    """

    def __init__(
        self,
        address: GatewayAddress,
        identifier: pb.Identifier,
        *,
        deadline: timedelta,
        channel_credentials: Callable[[], grpc.ChannelCredentials] | None,
        tokens: TokenSource | None = None,
        secrets: Iterable[str] = (),
    ) -> None:
        super().__init__()
        if tokens is not None and channel_credentials is None:
            # SECURITY: settings reject this already; a client made without them must not bypass the check.
            raise ValueError("a token is never sent over plain text; pass channel_credentials")
        self._address = address
        self._identifier = identifier
        self._deadline = deadline
        self._channel_credentials = channel_credentials
        self._tokens = tokens
        self._secrets = tuple(secrets)
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._opened_with: grpc.ChannelCredentials | None = None

    @classmethod
    def from_settings(cls, settings: ExporterSettings) -> "GatewayClient":
        """Make a client from settings. It connects when the first stream is opened.

        Raises:
            ValueError: No gateway address is set.
        """
        address = ExporterSettings.checked(settings).address
        if address is None:
            raise ValueError(f"{settings.variable_of('export_addr')} is not set")
        return cls(
            address,
            settings.identifier(),
            deadline=settings.rpc_deadline,
            channel_credentials=_channel_credentials(settings) if address.secure else None,
            tokens=token_source(settings),
            secrets=settings.secrets(),
        )

    def open_stream(
        self, request_id: str, batches: Iterable[pb.RecordEventsRequest], *, deadline: timedelta | None = None
    ) -> EventStream:
        """Open a stream: see `Gateway`."""
        credentials = self._credentials()

        def requests() -> Iterator[pb.RecordEventsRequest]:
            yield pb.RecordEventsRequest(metadata=self._metadata(request_id))
            yield from batches

        stub = TelemeteryGatewayServiceStub(self._open_channel())
        timeout = (deadline or self._deadline).total_seconds()
        return _Stream(stub.RecordEvents(requests(), timeout=timeout, metadata=credentials.call_metadata), credentials)

    def record_event(self, request_id: str, event: pb.Event, *, deadline: timedelta | None = None) -> None:
        """Send one event; return when the gateway holds it durably. For managed services only.

        Args:
            request_id: Identifies the call in the logs of both sides.
            event: The event, redacted.
            deadline: The longest time that the call may take; default: the deadline of the client.

        Raises:
            GatewayError: The gateway refused the event or could not be reached.
        """
        credentials = self._credentials()
        request = pb.RecordEventRequest(metadata=self._metadata(request_id), event=event)
        stub = TelemeteryGatewayServiceStub(self._open_channel())
        timeout = (deadline or self._deadline).total_seconds()
        try:
            stub.RecordEvent(request, timeout=timeout, metadata=credentials.call_metadata)
        except grpc.RpcError as error:
            failure = credentials.failure(error)
        else:
            return
        raise failure

    def close(self) -> None:
        """Close the channel. A later stream opens a new one."""
        with self._lock:
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def after_fork_in_child(self) -> None:
        """Do not use the channel of the parent process: its threads do not survive a fork."""
        self._lock = threading.Lock()
        self._channel = None

    def _metadata(self, request_id: str) -> pb.RecordEventsRequestMetadata:
        return pb.RecordEventsRequestMetadata(request_id=request_id, identifier=self._identifier)

    def _credentials(self) -> "_Credentials":
        return _Credentials(self._tokens, self._secrets)

    def _open_channel(self) -> grpc.Channel:
        credentials = None if self._channel_credentials is None else self._channel_credentials()
        with self._lock:
            if self._channel is None or credentials is not self._opened_with:
                # The previous channel is not closed here: calls of other threads may still use it.
                self._opened_with = credentials
                if credentials is None:
                    self._channel = grpc.insecure_channel(self._address.target, options=_PLAIN_TEXT_OPTIONS)
                else:
                    self._channel = grpc.secure_channel(self._address.target, credentials, options=_OPTIONS)
            return self._channel


class _Credentials:
    """The credentials of one call, and the secrets to mask in its responses.

    Raises:
        GatewayError: Getting a token failed.
    """

    def __init__(self, tokens: TokenSource | None, secrets: tuple[str, ...]) -> None:
        self._tokens = tokens
        self._token = None if tokens is None else _token(tokens)
        self.call_metadata: tuple[tuple[str, str], ...] = ()
        if self._token is not None:
            # SECURITY: only on a TLS channel; see the constructor of the client.
            self.call_metadata = (("authorization", f"Bearer {self._token}"),)
        # SECURITY: a peer could echo the credentials that it received.
        self._secrets = secrets if self._token is None else (*secrets, self._token)

    def clean(self, text: str) -> str:
        return clean_text(text, secrets=self._secrets)

    def failure(self, error: grpc.RpcError) -> GatewayError:
        """Return the `GatewayError` for an error of the call; discard the token if it was refused."""
        if not isinstance(error, grpc.Call):
            return GatewayError.from_status(grpc.StatusCode.UNKNOWN, "")
        failure = GatewayError.from_status(error.code(), self.clean(error.details() or ""))
        if failure.token_refused and self._tokens is not None and self._token is not None:
            self._tokens.invalidate(self._token)
        return failure


class _Stream:
    def __init__(self, call: Any, credentials: _Credentials) -> None:
        self._call = call  # both an iterator and a grpc.Call
        self._credentials = credentials

    def __iter__(self) -> Iterator[pb.RecordEventsResponse]:
        try:
            for response in self._call:
                for rejection in response.rejected_events:
                    rejection.reason = self._credentials.clean(rejection.reason)
                yield response
        except grpc.RpcError as error:
            failure = self._credentials.failure(error)
        else:
            return
        raise failure

    def cancel(self) -> None:
        self._call.cancel()


def clean_text(text: str, *, secrets: Iterable[str]) -> str:
    """Return a text from a peer as fit for logs, terminals and text columns: masked, on one line, truncated."""
    for secret in secrets:
        text = text.replace(secret, "***")
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:_MAX_TEXT]


def _token(tokens: TokenSource) -> str:
    try:
        return tokens.token()
    except CredentialsError as error:
        problem = str(error)
    raise GatewayError("CREDENTIALS", FailureKind.REFUSED, problem)


def _channel_credentials(settings: ExporterSettings) -> Callable[[], grpc.ChannelCredentials]:
    """Return a function that returns the credentials that the files of the settings contain now."""
    ca, certificate, key = settings.tls_ca_file, settings.tls_cert_file, settings.tls_key_file

    def read() -> grpc.ChannelCredentials:
        check_files(authorities=ca, certificate=certificate, key=key)
        return grpc.ssl_channel_credentials(
            root_certificates=_read(ca), private_key=_read(key), certificate_chain=_read(certificate)
        )

    return WatchedFiles([file for file in (ca, certificate, key) if file is not None], read).content


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()
