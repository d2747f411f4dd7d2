"""What can be wrong with an event or with a rule about events.

No text here ever carries a parameter's value: an error is read in logs and error
trackers, where private data must not arrive.
"""


class TelemetryError(Exception):
    """Base of every error that this project raises.

    Attributes:
        no_events_fault: Whether any other event would meet it as well, now; trying each one alone
            would only wait for each in turn.
    """

    no_events_fault = False


class InvalidInputError(TelemetryError, ValueError):
    """Something that a caller or an operator gave breaks a rule.

    Attributes:
        field: Which input is at fault, as the caller knows it (`metadata['durationMs']`).
        problem: What is wrong, with the rule and what to do; never the value itself.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem

    def __reduce__(self) -> tuple[type["InvalidInputError"], tuple[str, str]]:
        """Lets the error cross process borders whole (multiprocessing, celery)."""
        return type(self), (self.field, self.problem)


class InvalidNameError(InvalidInputError):
    """A feature or an action breaks the rule for names."""


class InvalidIdError(InvalidInputError):
    """An event id is no canonical UUID; of a new event: none of version 7."""


class InvalidTimestampError(InvalidInputError):
    """A timestamp has no time zone or lies outside protobuf's range."""


class InvalidParametersError(InvalidInputError):
    """Parameters are of the wrong kind: the version, the billing metadata, the whole."""


class InvalidMetadataError(InvalidParametersError):
    """A `metadata` key or value breaks its rule."""


class InvalidPrivateMetadataError(InvalidParametersError):
    """`private_metadata` holds something that is not JSON or too deep."""


class InvalidContextError(InvalidInputError):
    """Context (user, client, flags, interaction, marketing) breaks a rule."""


class EventTooLargeError(InvalidInputError):
    """The whole event is larger than the limit."""


class InvalidPolicyError(InvalidInputError):
    """An export mode or a telemetry mode cannot be understood."""


class InvalidAllowlistError(InvalidInputError):
    """The allowlist breaks its format; `field` says the file and the line."""


class InvalidCatalogError(InvalidInputError):
    """The event catalogue breaks its format; `field` says the file and the line."""


class UnknownEventError(InvalidInputError):
    """The event catalogue does not know an event of this feature and action."""


class RedactionError(TelemetryError):
    """An event could not be redacted, or holds something forbidden after redaction.

    Such an event is never sent.
    """
