"""The reviewed file of event collection packages: which URLs may be pinged, and what is kept of a ping.

A TOML file, one `[[package]]` table a package:

    [[package]]
    name = "jvm-agent"
    route = "/packages/{language}/{engine}/{arch}/{os}/{version}"
    feature = "agent"
    action = "install"
    variables = { language = "Which agents are used", version = "When a version can be dropped", ... }
    approved_by = "privacy@example.com"
    approved_on = 2026-01-31

A variable is named in the route, is a parameter of the query, or a key of a JSON body (`details.version` for one inside
another). A route's `{}` matches a segment that is not kept.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from telemetry import Catalog, InvalidInputError
from telemetry.catalog import ANY_KEY
from telemetry.reviewed_file import ReviewedTable, read_tables
from telemetry.text import text_problem
from telemetry_ingest.collection.routes import Route

MAX_NAME_LENGTH = 128
"""Of packages and of variables, in characters."""

_FIELDS = frozenset({"name", "route", "feature", "action", "variables", "approved_by", "approved_on"})
_REQUIRED = ("name", "route", "feature", "action", "approved_by", "approved_on")


class InvalidPackagesError(InvalidInputError):
    """The file of event collection packages breaks its format; `field` says the file and the line."""


@dataclass(frozen=True, slots=True)
class CollectionPackage:
    """What becomes an event, and what is kept of it.

    Attributes:
        name: Tells packages apart; the client's name in its events.
        route: Which paths are its own.
        feature: The events' feature.
        action: The events' action.
        variables: What is kept, each with the reason why.
        approved_by: Who answers for it.
        approved_on: Since when.
        origin: Where it stands, for people.
    """

    name: str
    route: Route
    feature: str
    action: str
    variables: Mapping[str, str]
    approved_by: str
    approved_on: date
    origin: str = ""


def read_packages(path: Path) -> list[CollectionPackage]:
    """Reads a file of packages.

    Raises:
        InvalidPackagesError: It cannot be read, or breaks the format; says the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise InvalidPackagesError(str(path), f"cannot be read: {problem}") from None
    return parse_packages(text, str(path))


def parse_packages(text: str, origin: str = "packages") -> list[CollectionPackage]:
    """Reads the packages of a file.

    Args:
        text: The file's text, TOML.
        origin: The file's name, for errors.

    Raises:
        InvalidPackagesError: The text is no TOML, or a package breaks the format; says the line.
    """
    packages: list[CollectionPackage] = []
    for table in read_tables(text, origin, "package", InvalidPackagesError):
        package = _parse_package(table)
        _check_apart(package, packages, table)
        packages.append(package)
    return packages


def catalog_problem(packages: Iterable[CollectionPackage], catalog: Catalog) -> str | None:
    """Returns why a recorder with this event catalogue would refuse a package's events; None where it takes all."""
    for package in packages:
        entry = catalog.find(package.feature, package.action)
        if entry is None:
            return f"{package.origin}: {package.feature}, {package.action} is not in the event catalogue"
        if required := next((key for key, known in entry.metadata.items() if known.required), None):
            return f"{package.origin}: a ping has no metadata, and the event catalogue requires {required!r}"
        if ANY_KEY not in entry.private_metadata:
            for variable in package.variables:
                if variable not in entry.private_metadata:
                    return f"{package.origin}: variable {variable!r} is not in the event catalogue ({entry.origin})"
    return None


def _parse_package(table: ReviewedTable) -> CollectionPackage:
    table.check_fields(_FIELDS, _REQUIRED)
    name = table.text("name", "what this package is called")
    if len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise table.fault("name", f"name must have at most {MAX_NAME_LENGTH} printable characters")
    route = _parse_route(table)
    variables = _parse_variables(table)
    if missing := next((variable for variable in route.variables if variable not in variables), None):
        raise table.fault(
            "route",
            f"route has {{{missing}}}, which is not in variables: give it a reason there, "
            "or write {} for a segment that is not kept",
        )
    return CollectionPackage(
        name=name,
        route=route,
        feature=table.name("feature"),
        action=table.name("action"),
        variables=variables,
        approved_by=table.text("approved_by", "who answers for this package"),
        approved_on=table.day("approved_on"),
        origin=table.origin,
    )


def _parse_route(table: ReviewedTable) -> Route:
    text = table.text("route", "which paths are this package's")
    try:
        return Route.parse(text)
    except ValueError as error:
        raise table.fault("route", f"route {error}") from None


def _parse_variables(table: ReviewedTable) -> dict[str, str]:
    variables = table.fields.get("variables", {})
    if not isinstance(variables, dict):
        raise table.fault(
            "variables", 'variables must name what is kept, each with a reason: variables = { version = "why" }'
        )
    for name in variables:
        if not name or len(name) > MAX_NAME_LENGTH or text_problem(name):
            raise table.fault("variables", "variables holds a name that could never be recorded")
    return {name: table.reason("variables", "variable", name) for name in variables}


def _check_apart(package: CollectionPackage, others: Iterable[CollectionPackage], table: ReviewedTable) -> None:
    for other in others:
        if package.name == other.name:
            raise table.fault("name", f"duplicates the name of the package at {other.origin}")
        if _shape(package.route) == _shape(other.route):
            raise table.fault("route", f"duplicates the route of the package at {other.origin}")
        if package.route.overlaps(other.route):
            raise table.fault("route", f"is ambiguous: a path could also be the package's at {other.origin}")


def _shape(route: Route) -> Sequence[str | None]:
    return [segment.text if segment.literal else None for segment in route.segments]
