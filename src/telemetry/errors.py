"""Errors about events and about the rules for events.

No message contains a parameter's value: errors appear in logs and error trackers, which
must not receive private data.
"""


class TelemetryError(Exception):
    """Base of every error that this project raises.

    Attributes:
        affects_every_event: Whether every event would fail the same way now, so that retrying one by one is
            pointless.
    """

    affects_every_event = False


class InvalidInputError(TelemetryError, ValueError):
    """Input of a caller or an operator is invalid.

    Attributes:
        field: The invalid input, by the caller's name (`metadata['durationMs']`).
        problem: What is wrong, with the rule and the remedy, but never the value.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem

    def __reduce__(self) -> tuple[type["InvalidInputError"], tuple[str, str]]:
        """Keep the attributes when the error is pickled (multiprocessing, celery)."""
        return type(self), (self.field, self.problem)


class InvalidNameError(InvalidInputError):
    """A feature or action is not a valid name."""


class InvalidIdError(InvalidInputError):
    """An event id is not a canonical UUID, or that of a new event is not version 7."""


class InvalidTimestampError(InvalidInputError):
    """A timestamp has no time zone or is outside protobuf's range."""


class InvalidParametersError(InvalidInputError):
    """Parameters, their version or their billing metadata are of the wrong kind."""


class InvalidMetadataError(InvalidParametersError):
    """A `metadata` key or value is invalid."""


class InvalidPrivateMetadataError(InvalidParametersError):
    """`private_metadata` contains something that is not JSON, or is nested too deep."""


class InvalidContextError(InvalidInputError):
    """The context (user, client, flags, interaction, marketing) is invalid."""


class EventTooLargeError(InvalidInputError):
    """The serialized event is larger than the limit."""


class InvalidPolicyError(InvalidInputError):
    """An export mode or a telemetry mode is invalid."""


class InvalidAllowlistError(InvalidInputError):
    """The allowlist is invalid; `field` has the file and the line."""


class InvalidCatalogError(InvalidInputError):
    """The event catalogue is invalid; `field` has the file and the line."""


class UnknownEventError(InvalidInputError):
    """The event catalogue has no event with this feature and action."""


class RedactionError(TelemetryError):
    """An event could not be redacted, or still contains something forbidden after redaction.

    Such an event is never sent.
    """
