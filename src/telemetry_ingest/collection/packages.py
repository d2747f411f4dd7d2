"""The reviewed file of event collection packages: the ping URLs, and the variables that are stored.

A TOML file with one `[[package]]` table per package:

    [[package]]
    name = "jvm-agent"
    route = "/packages/{language}/{engine}/{arch}/{os}/{version}"
    feature = "agent"
    action = "install"
    variables = { language = "Which agents are used", version = "When a version can be dropped", ... }
    approved_by = "privacy@example.com"
    approved_on = 2026-01-31

A variable is a segment of the route, a query parameter, or a key of a JSON body (`details.version` for a nested key).
A route's `{}` matches a segment that is not stored.
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
"""Maximum length of the names of packages and variables, in characters."""

_FIELDS = frozenset({"name", "route", "feature", "action", "variables", "approved_by", "approved_on"})
_REQUIRED = ("name", "route", "feature", "action", "approved_by", "approved_on")


class InvalidPackagesError(InvalidInputError):
    """The file of event collection packages is invalid; `field` has the file and the line."""


@dataclass(frozen=True, slots=True)
class CollectionPackage:
    """An event collection package: the requests that it matches, and the variables that it stores.

    Attributes:
        name: Unique name; the client's name in its events.
        route: The paths that it matches.
        feature: The events' feature.
        action: The events' action.
        variables: The variables to store, each with the reason.
        approved_by: The person responsible for it.
        approved_on: Date of the approval.
        origin: File and line, for messages.
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
    """Read a file of packages.

    Raises:
        InvalidPackagesError: The file cannot be read or is invalid; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise InvalidPackagesError(str(path), f"cannot be read: {problem}") from None
    return parse_packages(text, str(path))


def parse_packages(text: str, origin: str = "packages") -> list[CollectionPackage]:
    """Parse the packages of a file.

    Args:
        text: The file's text, TOML.
        origin: The file's name, for errors.

    Raises:
        InvalidPackagesError: The text is not valid TOML, or a package is invalid; names the line.
    """
    packages: list[CollectionPackage] = []
    for table in read_tables(text, origin, "package", InvalidPackagesError):
        package = _parse_package(table)
        _check_unique(package, packages, table)
        packages.append(package)
    return packages


def catalog_problem(packages: Iterable[CollectionPackage], catalog: Catalog) -> str | None:
    """Return why a recorder with this event catalogue would reject a package's events; None if it accepts all."""
    for package in packages:
        entry = catalog.find(package.feature, package.action)
        if entry is None:
            return f"{package.origin}: {package.feature}, {package.action} is not in the event catalogue"
        if required := next((key for key, known in entry.metadata.items() if known.required), None):
            return f"{package.origin}: the event catalogue requires metadata {required!r}, which pings do not have"
        if ANY_KEY not in entry.private_metadata:
            for variable in package.variables:
                if variable not in entry.private_metadata:
                    return f"{package.origin}: variable {variable!r} is not in the event catalogue ({entry.origin})"
    return None


def _parse_package(table: ReviewedTable) -> CollectionPackage:
    table.check_fields(_FIELDS, _REQUIRED)
    name = table.text("name", "the name of this package")
    if len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise table.fault("name", f"name must have at most {MAX_NAME_LENGTH} printable characters")
    route = _parse_route(table)
    variables = _parse_variables(table)
    if missing := next((variable for variable in route.variables if variable not in variables), None):
        raise table.fault(
            "route",
            f"route has {{{missing}}}, which is not in variables: give it a reason there, "
            "or write {} for a segment that is not stored",
        )
    return CollectionPackage(
        name=name,
        route=route,
        feature=table.name("feature"),
        action=table.name("action"),
        variables=variables,
        approved_by=table.text("approved_by", "the person responsible for this package"),
        approved_on=table.day("approved_on"),
        origin=table.origin,
    )


def _parse_route(table: ReviewedTable) -> Route:
    text = table.text("route", "the paths of this package")
    try:
        return Route.parse(text)
    except ValueError as error:
        raise table.fault("route", f"route {error}") from None


def _parse_variables(table: ReviewedTable) -> dict[str, str]:
    variables = table.fields.get("variables", {})
    if not isinstance(variables, dict):
        raise table.fault(
            "variables", 'variables must be a table of names, each with a reason: variables = { version = "why" }'
        )
    for name in variables:
        if not name or len(name) > MAX_NAME_LENGTH or text_problem(name):
            raise table.fault("variables", "variables contains a name that cannot be recorded")
    return {name: table.reason("variables", "variable", name) for name in variables}


def _check_unique(package: CollectionPackage, others: Iterable[CollectionPackage], table: ReviewedTable) -> None:
    for other in others:
        if package.name == other.name:
            raise table.fault("name", f"duplicates the name of the package at {other.origin}")
        if _shape(package.route) == _shape(other.route):
            raise table.fault("route", f"duplicates the route of the package at {other.origin}")
        if package.route.overlaps(other.route):
            raise table.fault("route", f"is ambiguous: some paths also match the package at {other.origin}")


def _shape(route: Route) -> Sequence[str | None]:
    return [segment.text if segment.literal else None for segment in route.segments]
