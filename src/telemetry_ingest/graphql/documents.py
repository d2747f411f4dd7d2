"""Parses and checks the query of a request: its size, its depth, its validity. No text here quotes it."""

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
    """The rule of GraphQL, without its text, which quotes the value."""

    def report_error(self, error: GraphQLError) -> None:
        super().report_error(GraphQLError("A value does not fit the type that its place has.", error.nodes))


_RULES: Final = tuple(_ValuesOfCorrectType if rule is ValuesOfCorrectTypeRule else rule for rule in specified_rules)


class InvalidDocumentError(InvalidRequestError):
    """A query is none.

    Attributes:
        errors: What is wrong with it.
    """

    def __init__(self, errors: Sequence[GraphQLError]) -> None:
        super().__init__("query", errors[0].message)
        self.errors = tuple(errors)


class Documents:
    """Makes documents of queries; remembers the last ones, as clients send the same few all the time.

    Args:
        schema: What queries must fit.
        most_kept: How many are remembered.
    """

    def __init__(self, schema: GraphQLSchema, *, most_kept: int = 128) -> None:
        self._schema = schema
        self._most_kept = most_kept
        self._kept: OrderedDict[str, DocumentNode] = OrderedDict()

    def document(self, query: str) -> DocumentNode:
        """Returns a query's document, valid and within the limits.

        Raises:
            InvalidRequestError: It is too large, too deep, or not valid.
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
        # SECURITY: raised anew: the parser's text quotes what it met.
        raise InvalidRequestError(
            "query", f"is no GraphQL, or longer than {MAX_TOKENS} tokens, or too deep{places and f' ({places})'}"
        )


def operation_of(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    """Returns the operation that a request names; the only one where it names none.

    Raises:
        InvalidRequestError: There is none, or more than one.
    """
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    found = [node for node in operations if name is None or (node.name is not None and node.name.value == name)]
    if len(found) != 1:
        problem = "must name one of the query's operations" if operations else "the query holds no operation"
        raise InvalidRequestError("operationName", problem)
    return found[0]


@dataclass(frozen=True, slots=True)
class _Size:
    """How large a selection is, with its fragments unfolded."""

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
        """How many pairs of fields have one name: so many, at most, does validation compare."""
        return sum(times * (times - 1) // 2 for times in self.names.values())


class _Sizes:
    """Measures selections; each fragment once, so that fragments of fragments cost nothing to measure."""

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
            return _Size()  # validation says so
        if name not in self._measured:
            self._measured[name] = None
            self._measured[name] = self.measure(self._fragments[name].selection_set)
        size = self._measured[name]
        if size is None:
            raise InvalidRequestError("query", "its fragments hold each other")
        return size


def _check_size(document: DocumentNode) -> None:
    sizes = _Sizes(document)
    pairs = 0
    for node in document.definitions:
        # SECURITY: fragments, too, that no operation uses: they cost as much to validate.
        if not isinstance(node, OperationDefinitionNode | FragmentDefinitionNode):
            continue
        size = sizes.measure(node.selection_set)
        pairs += size.pairs
        for what, found, most in (
            ("levels", size.depth, MAX_DEPTH),
            ("fields", size.fields, MAX_FIELDS),
            ("aliases", size.aliases, MAX_ALIASES),
            ("pairs of fields with one name", pairs, MAX_PAIRS),
            (f"{RECORDING_FIELD}, so that a request is recorded whole or not at all", size.recordings, 1),
        ):
            if found > most:
                raise InvalidRequestError("query", f"may have at most {most} {what}")
