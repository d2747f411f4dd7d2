"""Mutations of pings: which values are kept, and when a ping is sent."""

from mutations.mutation import Mutation

PINGING = (
    Mutation(
        "the depth limit of a truncated body does not depend on the interpreter",
        "telemetry_ingest/collection/partial_json.py",
        "and text_is_too_deep(self._text, at):",
        "and False:",
        "tests/unit/ingest/test_collection_variables.py",
    ),
    Mutation(
        "the depth limit of a kept value does not depend on the interpreter",
        "telemetry_ingest/collection/variables.py",
        "if value_is_too_deep(value):",
        "if False:",
        "tests/unit/ingest/test_collection_variables.py",
    ),
    Mutation(
        "variables that a package does not declare are dropped",
        "telemetry_ingest/collection/variables.py",
        "            if name in self._declared:\n                found[name] = value\n",
        "            if name:\n                found[name] = value\n",
        "tests/unit/ingest/test_collection_variables.py",
    ),
    Mutation(
        "a ping that could not be stored is not answered 204",
        "telemetry_ingest/collection/endpoint.py",
        "return HTTPStatus.SERVICE_UNAVAILABLE",
        "return HTTPStatus.NO_CONTENT",
        "tests/unit/ingest/test_collection_endpoint.py",
    ),
    Mutation(
        "an item that fails in a shared write fails only its own caller",
        "recorder/gathering/together_or_alone.py",
        "        yield [part], error\n",
        "        yield [part], None\n",
        "tests/unit/recorder/test_shared_writes.py",
    ),
    Mutation(
        "a user's opt-out is checked before each attempt",
        "telemetry_pings/event_logger.py",
        "        if self.opted_out():\n            return Outcome.REFUSED\n",
        "",
        "tests/integration/pings/test_background.py",
    ),
    Mutation(
        "one deadline covers all steps of a ping",
        "telemetry_pings/delivery.py",
        "        connection.settimeout(deadline.remaining())\n        received",
        "        received",
        "tests/integration/pings/test_event_logger.py",
    ),
)
