"""The channel to a gateway, and one stream of events over it."""

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import grpc

from export.address import GatewayAddress
from export.credentials import TokenSource, token_source
from export.errors import CredentialsError, FailureKind, GatewayError
from export.settings import ExporterSettings
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry.v1.telemetrygateway_pb2_grpc import TelemeteryGatewayServiceStub

_MAX_TEXT: Final = 300
_OPTIONS: Final = (
    # A connection that a firewall dropped in silence is noticed while a stream waits on it.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Retries are the exporter's: it knows which events were acknowledged.
    ("grpc.enable_retries", 0),
)
# SECURITY: plain text goes to the address that was checked, not to a proxy that the environment names.
_PLAIN_TEXT_OPTIONS: Final = (*_OPTIONS, ("grpc.enable_http_proxy", 0))


class EventStream(Protocol):
    """A stream of events to a gateway, open."""

    def __iter__(self) -> Iterator[pb.RecordEventsResponse]:
        """Yields the gateway's answers as they come.

        Raises:
            GatewayError: The stream ended with another status than OK.
        """
        ...

    def cancel(self) -> None:
        """Ends the stream now. May be called from any thread."""
        ...


class Gateway(Protocol):
    """Where an exporter sends events."""

    def open_stream(self, request_id: str, batches: Iterable[pb.RecordEventsRequest]) -> EventStream:
        """Opens a stream that sends its metadata, then `batches` as the transport takes them.

        Args:
            request_id: Names the stream in the logs of both sides.
            batches: Is run in another thread; an exception in it ends the stream.

        Raises:
            GatewayError: No credentials could be had.
        """
        ...

    def close(self) -> None:
        """Closes the channel."""
        ...


class GatewayClient:
    """Speaks to a gateway over gRPC.

    Args:
        address: Where it listens.
        identifier: Who is sending.
        deadline: The longest that a stream may take.
        channel_credentials: TLS; None for plain text.
        tokens: Where bearer tokens come from; None sends none.
        secrets: Texts that are masked in what the gateway says.
    """

    def __init__(
        self,
        address: GatewayAddress,
        identifier: pb.Identifier,
        *,
        deadline: timedelta,
        channel_credentials: grpc.ChannelCredentials | None,
        tokens: TokenSource | None = None,
        secrets: Iterable[str] = (),
    ) -> None:
        if tokens is not None and channel_credentials is None:
            # SECURITY: settings refuse this already; a client made by hand must not get past it.
            raise ValueError("a token never travels over plain text; give channel_credentials")
        self._address = address
        self._identifier = identifier
        self._deadline = deadline
        self._channel_credentials = channel_credentials
        self._tokens = tokens
        self._secrets = tuple(secrets)
        self._channel: grpc.Channel | None = None
        self._process = 0

    @classmethod
    def from_settings(cls, settings: ExporterSettings) -> "GatewayClient":
        """Makes a client as the settings have it; connects when the first stream is opened.

        Raises:
            ValueError: No gateway address is set.
        """
        address = settings.address
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

    def open_stream(self, request_id: str, batches: Iterable[pb.RecordEventsRequest]) -> EventStream:
        """Opens a stream: see `Gateway`."""
        call_metadata: tuple[tuple[str, str], ...] = ()
        token = None if self._tokens is None else _token(self._tokens)
        if token is not None:
            # SECURITY: only ever on a TLS channel; see the constructor.
            call_metadata = (("authorization", f"Bearer {token}"),)
        metadata = pb.RecordEventsRequestMetadata(request_id=request_id, identifier=self._identifier)

        def requests() -> Iterator[pb.RecordEventsRequest]:
            yield pb.RecordEventsRequest(metadata=metadata)
            yield from batches

        stub = TelemeteryGatewayServiceStub(self._open_channel())
        call = stub.RecordEvents(requests(), timeout=self._deadline.total_seconds(), metadata=call_metadata)
        # SECURITY: a peer could echo what it was sent as credentials.
        secrets = self._secrets if token is None else (*self._secrets, token)
        return _Stream(call, partial(clean_text, secrets=secrets), partial(self._forget, token))

    def close(self) -> None:
        """Closes the channel. A later stream opens a new one."""
        channel, self._channel = self._channel, None
        if channel is not None and self._process == os.getpid():
            channel.close()

    def _forget(self, token: str | None) -> None:
        if self._tokens is not None and token is not None:
            self._tokens.invalidate(token)

    def _open_channel(self) -> grpc.Channel:
        # A channel's threads do not survive a fork; the child makes a channel of its own.
        if self._channel is None or self._process != os.getpid():
            self._process = os.getpid()
            if self._channel_credentials is None:
                self._channel = grpc.insecure_channel(self._address.target, options=_PLAIN_TEXT_OPTIONS)
            else:
                self._channel = grpc.secure_channel(self._address.target, self._channel_credentials, options=_OPTIONS)
        return self._channel


class _Stream:
    def __init__(self, call: Any, clean: Callable[[str], str], forget_token: Callable[[], None]) -> None:
        self._call = call  # both an iterator and a grpc.Call
        self._clean = clean
        self._forget_token = forget_token

    def __iter__(self) -> Iterator[pb.RecordEventsResponse]:
        try:
            for response in self._call:
                for rejection in response.rejected_events:
                    rejection.reason = self._clean(rejection.reason)
                yield response
        except grpc.RpcError as error:
            failure = self._failure(error)
        else:
            return
        if failure.token_refused:
            self._forget_token()
        raise failure

    def _failure(self, error: grpc.RpcError) -> GatewayError:
        if not isinstance(error, grpc.Call):
            return GatewayError.from_status(grpc.StatusCode.UNKNOWN, "")
        return GatewayError.from_status(error.code(), self._clean(error.details() or ""))

    def cancel(self) -> None:
        self._call.cancel()


def clean_text(text: str, *, secrets: Iterable[str]) -> str:
    """Returns a peer's words fit for logs, terminals and text columns: masked, on one line, cut to length."""
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


def _channel_credentials(settings: ExporterSettings) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=_read(settings.tls_ca_file),
        private_key=_read(settings.tls_key_file),
        certificate_chain=_read(settings.tls_cert_file),
    )


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()
