"""Create the parts of a gateway from its settings."""

import time

from telemetry_gateway.errors import GatewayServiceError, SinkError
from telemetry_gateway.identity.auth import AnyOf, Authenticator
from telemetry_gateway.identity.authority import Authority
from telemetry_gateway.identity.introspection import Introspection
from telemetry_gateway.identity.jwts import JwtRules, Jwts
from telemetry_gateway.identity.service_tokens import ServiceTokensFile
from telemetry_gateway.metrics import GatewayMetrics
from telemetry_gateway.publishing.deduplication import DeduplicationWindow
from telemetry_gateway.publishing.publishing_queue import PublishingQueue
from telemetry_gateway.settings import GatewaySettings, SinkKind
from telemetry_gateway.sinks import JsonlSink, Rotation, Sink, StdoutSink
from telemetry_gateway.sinks.plugin import load_sink
from telemetry_runtime.extras import MissingExtraError, needs_extra


def make_sink(settings: GatewaySettings) -> Sink:
    """Open the sink that the settings select.

    Raises:
        SinkError: The sink cannot be opened.
    """
    if settings.sink is SinkKind.STDOUT:
        return StdoutSink(settings.sink_max_message_bytes)
    if settings.sink is SinkKind.PLUGIN:
        return load_sink(settings.sink_plugin or "", settings)
    if settings.sink is SinkKind.NATS:
        return _make_jetstream_sink(settings)
    rotation = Rotation(settings.sink_rotate_bytes, settings.sink_rotate_interval, settings.sink_compress)
    return JsonlSink(settings.sink_file, settings.sink_max_message_bytes, rotation=rotation)


def _make_jetstream_sink(settings: GatewaySettings) -> Sink:
    try:
        with needs_extra("nats"):
            from telemetry_gateway.sinks.jetstream import JetStreamSink, JetStreamTarget  # noqa: PLC0415 - optional
    except MissingExtraError as error:
        raise SinkError(f"the sink nats: {error}") from None
    file = settings.nats_credentials_file
    target = JetStreamTarget(
        servers=settings.nats_servers,
        stream=settings.nats_stream,
        subject=settings.nats_subject,
        credentials_file=None if file is None else str(file),
        replicas=settings.nats_replicas,
        duplicate_window=settings.deduplication_window,
        min_age=settings.nats_min_age,
        timeout=settings.nats_timeout,
    )
    return JetStreamSink(target)


def recovered_queue(settings: GatewaySettings, sink: Sink, metrics: GatewayMetrics) -> PublishingQueue:
    """Open the deduplication window of a sink and add the messages that only the sink knows. Blocking.

    Raises:
        GatewayServiceError: The sink or the window cannot be used; both are closed.
    """
    try:
        window = DeduplicationWindow(settings.deduplication_file, settings.deduplication_window, clock=time.time)
    except GatewayServiceError:
        sink.close()
        raise
    queue = PublishingQueue(sink, window, metrics)
    try:
        queue.recover()
    except BaseException:
        queue.abandon()
        raise
    return queue


def make_authenticator(settings: GatewaySettings) -> Authenticator | None:
    """Return the authenticator of managed services, or None if no authentication is configured."""
    authenticators: list[Authenticator] = []
    if settings.service_tokens_file is not None:
        authenticators.append(ServiceTokensFile(settings.service_tokens_file))
    if settings.jwt_jwks_url and settings.jwt_issuer and settings.jwt_audience:
        rules = JwtRules(
            settings.jwt_jwks_url, settings.jwt_issuer, settings.jwt_audience, settings.token_service_claim
        )
        authenticators.append(Jwts(Authority(settings.authority_ca_file), rules))
    if settings.introspection_url and settings.introspection_client_id and settings.introspection_client_secret:
        authenticators.append(
            Introspection(
                Authority(settings.authority_ca_file),
                settings.introspection_url,
                (settings.introspection_client_id, settings.introspection_client_secret.get_secret_value()),
                service_claim=settings.token_service_claim,
                cache_for=settings.introspection_cache,
            )
        )
    return AnyOf(authenticators) if authenticators else None
