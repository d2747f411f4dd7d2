"""Mutations of recording over HTTP: authentication, and which values of a request are trusted."""

from mutations.mutation import Mutation

_CALLERS = "tests/integration/ingest/test_callers.py"
_HTTP = "tests/integration/ingest/test_graphql_over_http.py"

INGESTING = (
    Mutation(
        "the user id comes only from the authentication hook",
        "telemetry_ingest/graphql/endpoint.py",
        "user_id=None if caller is None else caller.user_id,",
        "user_id=known.user_id,",
        _CALLERS,
    ),
    Mutation(
        "anonymous requests are rejected unless an operator allows them",
        "telemetry_ingest/graphql/endpoint.py",
        "if caller is None and not self._limits.anonymous:",
        "if False:",
        _CALLERS,
    ),
    Mutation(
        "an unknown token is rejected",
        "telemetry_ingest/tokens.py",
        "hmac.compare_digest(known.sha256, given)",
        "known.sha256",
        _CALLERS,
    ),
    Mutation(
        "only site administrators see exported events",
        "telemetry_ingest/graphql/schema.py",
        "if context.caller is None or not context.caller.site_admin:",
        "if context.caller is None:",
        "tests/integration/ingest/test_exported_events.py",
    ),
    Mutation(
        "one invalid event rejects its batch",
        "telemetry_ingest/graphql/schema.py",
        "    if faults:\n        raise InvalidBatchError(faults)\n",
        "",
        "tests/integration/ingest/test_record_events.py",
    ),
    Mutation(
        "a value in a query is never quoted",
        "telemetry_ingest/graphql/documents.py",
        "_ValuesOfCorrectType if rule is ValuesOfCorrectTypeRule else rule",
        "rule",
        _HTTP,
    ),
    Mutation(
        "a page of another origin needs a CORS preflight",
        "telemetry_ingest/graphql/endpoint.py",
        'if media_type != "application/json" or',
        "if",
        _HTTP,
    ),
    Mutation(
        "addresses are hashed with a salt",
        "telemetry_ingest/limits.py",
        "salt=self._salt",
        "salt=b''",
        "tests/unit/ingest/test_limits.py",
    ),
    Mutation(
        "a page of exported events begins where the page before ended",
        "telemetry_store/queue_reading.py",
        "(exported_at, id) < ({at}, {id})",
        "exported_at < {at}",
        "tests/integration/recorder/test_queue_reading.py",
    ),
)
