"""Parses GraphQL queries and checks size, depth and validity. No message quotes the query."""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValuesOfCorrectTypeRule,
    parse,
    specified_rules,
    validate,
)

from telemetry_ingest.errors import InvalidRequestError

MAX_QUERY_LENGTH: Final = 32 * 1024
MAX_TOKENS: Final = 2_000
MAX_DEPTH: Final = 20
MAX_FIELDS: Final = 500
MAX_ALIASES: Final = 20
MAX_PAIRS: Final = 20_000
RECORDING_FIELD: Final = "recordEvents"

_MAX_ERRORS: Final = 5
_MAX_KEPT_LENGTH: Final = 4 * 1024


class _ValuesOfCorrectType(ValuesOfCorrectTypeRule):
    """The rule of GraphQL with another message, because its own quotes the value."""

    def report_error(self, error: GraphQLError) -> None:
        super().report_error(GraphQLError("A value has the wrong type.", error.nodes))


_RULES: Final = tuple(_ValuesOfCorrectType if rule is ValuesOfCorrectTypeRule else rule for rule in specified_rules)


class InvalidDocumentError(InvalidRequestError):
    """A query is invalid.

    Attributes:
        errors: The validation errors.
    """

    def __init__(self, errors: Sequence[GraphQLError]) -> None:
        super().__init__("query", errors[0].message)
        self.errors = tuple(errors)


class Documents:
    """Parses queries and caches the latest ones, because clients send the same few queries all the time.

    Args:
        schema: The schema that queries must match.
        most_kept: Maximum number of cached queries.
    """

    def __init__(self, schema: GraphQLSchema, *, most_kept: int = 128) -> None:
        self._schema = schema
        self._most_kept = most_kept
        self._kept: OrderedDict[str, DocumentNode] = OrderedDict()

    def document(self, query: str) -> DocumentNode:
        """Parse a query and check it against the schema and the limits.

        Raises:
            InvalidRequestError: The query is too large, too deep or invalid.
        """
        kept = self._kept.get(query)
        if kept is not None:
            self._kept.move_to_end(query)
            return kept
        document = self._parse(query)
        _check_size(document)
        if errors := validate(self._schema, document, _RULES, max_errors=_MAX_ERRORS):
            raise InvalidDocumentError(errors)
        if len(query) <= _MAX_KEPT_LENGTH:
            self._kept[query] = document
            if len(self._kept) > self._most_kept:
                self._kept.popitem(last=False)
        return document

    def _parse(self, query: str) -> DocumentNode:
        if len(query) > MAX_QUERY_LENGTH:
            raise InvalidRequestError("query", f"must have at most {MAX_QUERY_LENGTH} characters; use variables")
        try:
            return parse(query, max_tokens=MAX_TOKENS)
        except GraphQLError as error:
            places = ", ".join(f"line {place.line}, column {place.column}" for place in error.locations or ())
        # SECURITY: do not forward the parser's message, because it quotes the query.
        raise InvalidRequestError(
            "query", f"is not valid GraphQL, or has over {MAX_TOKENS} tokens, or is too deep{places and f' ({places})'}"
        )


def operation_of(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    """Return the operation that a request names; the only operation if it names none.

    Raises:
        InvalidRequestError: There is not exactly one such operation.
    """
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    found = [node for node in operations if name is None or (node.name is not None and node.name.value == name)]
    if len(found) != 1:
        problem = "must name one of the query's operations" if operations else "the query contains no operation"
        raise InvalidRequestError("operationName", problem)
    return found[0]


@dataclass(frozen=True, slots=True)
class _Size:
    """The size of a selection with its fragments expanded."""

    depth: int = 0
    aliases: int = 0
    names: Counter[str] = field(default_factory=Counter[str])

    @property
    def fields(self) -> int:
        return self.names.total()

    @property
    def recordings(self) -> int:
        return self.names[RECORDING_FIELD]

    @property
    def pairs(self) -> int:
        """Number of pairs of fields with the same name: the upper bound of comparisons during validation."""
        return sum(times * (times - 1) // 2 for times in self.names.values())


class _Sizes:
    """Measures selections; each fragment once, so that nested fragments do not multiply the work."""

    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self._measured: dict[str, _Size | None] = {}

    def measure(self, selections: SelectionSetNode | None) -> _Size:
        depth = aliases = 0
        names: Counter[str] = Counter()
        for node in () if selections is None else selections.selections:
            if isinstance(node, FieldNode):
                inner = self.measure(node.selection_set)
                depth = max(depth, inner.depth + 1)
                aliases += node.alias is not None
                names[node.name.value] += 1
            elif isinstance(node, InlineFragmentNode):
                inner = self.measure(node.selection_set)
                depth = max(depth, inner.depth)
            elif isinstance(node, FragmentSpreadNode):
                inner = self._fragment(node.name.value)
                depth = max(depth, inner.depth)
            else:
                continue
            aliases += inner.aliases
            names.update(inner.names)
        return _Size(depth, aliases, names)

    def _fragment(self, name: str) -> _Size:
        if name not in self._fragments:
            return _Size()  # validation reports the unknown fragment
        if name not in self._measured:
            self._measured[name] = None
            self._measured[name] = self.measure(self._fragments[name].selection_set)
        size = self._measured[name]
        if size is None:
            raise InvalidRequestError("query", "its fragments contain each other")
        return size


def _check_size(document: DocumentNode) -> None:
    sizes = _Sizes(document)
    pairs = 0
    for node in document.definitions:
        # SECURITY: include unused fragments, because validating them costs as much.
        if not isinstance(node, OperationDefinitionNode | FragmentDefinitionNode):
            continue
        size = sizes.measure(node.selection_set)
        pairs += size.pairs
        for what, found, most in (
            ("levels", size.depth, MAX_DEPTH),
            ("fields", size.fields, MAX_FIELDS),
            ("aliases", size.aliases, MAX_ALIASES),
            ("pairs of fields with one name", pairs, MAX_PAIRS),
            (f"{RECORDING_FIELD}, so that a request is recorded completely or not at all", size.recordings, 1),
        ):
            if found > most:
                raise InvalidRequestError("query", f"must have at most {most} {what}")
