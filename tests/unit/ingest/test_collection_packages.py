from datetime import date
from pathlib import Path

import pytest

from telemetry_ingest.collection import InvalidPackagesError, parse_packages, read_packages

ROUTE = 'route = "/p/{version}"\n'
EVENT = 'feature = "tool"\naction = "install"\n'
KEPT = 'variables = { version = "why" }\n'
TAIL = 'approved_by = "x"\napproved_on = 2026-01-31\n'
GOOD = '[[package]]\nname = "tool"\n' + ROUTE + EVENT + KEPT + TAIL


def test_a_package_is_parsed_with_its_line() -> None:
    (package,) = parse_packages("# packages\n" + GOOD, "f")
    assert (package.name, package.route.text, package.feature, package.action) == (
        "tool",
        "/p/{version}",
        "tool",
        "install",
    )
    assert package.variables == {"version": "why"}
    assert (package.approved_by, package.approved_on, package.origin) == ("x", date(2026, 1, 31), "f, line 2")
    assert parse_packages("") == []


def test_variables_can_be_a_subtable_or_be_omitted() -> None:
    (package,) = parse_packages(
        '[[package]]\nname = "t"\nroute = "/{}"\n' + EVENT + TAIL + '[package.variables]\n"a.b" = "why"\n'
    )
    assert package.variables == {"a.b": "why"}
    (package,) = parse_packages('[[package]]\nname = "t"\nroute = "/t"\n' + EVENT + TAIL)
    assert package.variables == {}


def other(name: str, route: str) -> str:
    return f'[[package]]\nname = "{name}"\nroute = "{route}"\n' + EVENT + 'variables = { v = "w" }\n' + TAIL


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x = [", "f: is not valid TOML: "),
        ("packages = 1\n", "f, line 1: unknown field 'packages'; entries are [[package]] tables"),
        ("package = 1\n", "f, line 1: entries are [[package]] tables"),
        ("[[package]]\n", "f, line 1: is missing name, route, feature, action, approved_by, approved_on"),
        (GOOD + "keep = 1\n", "f, line 9: unknown field 'keep'; known: action, approved_by"),
        (GOOD.replace('"tool"\nroute', '""\nroute'), "f, line 2: name must be text: the name of this package"),
        (GOOD.replace('"tool"\nroute', '"a\\nb"\nroute'), "f, line 2: name must have at most 128 printable"),
        (GOOD.replace('"tool"\nroute', f'"{"a" * 129}"\nroute'), "f, line 2: name must have at most 128 printable"),
        (GOOD.replace("/p/", "p/"), "f, line 3: route must begin with /"),
        (GOOD.replace("/p/", "/p%20/"), "f, line 3: route has a segment that is neither"),
        (GOOD.replace('"/p/{version}"', "5"), "f, line 3: route must be text: the paths of this"),
        (GOOD.replace("{version}", "{other}"), "f, line 3: route has {other}, which is not in variables"),
        (GOOD.replace('feature = "tool"', 'feature = "tool_1"'), "f, line 4: feature cannot be recorded: it must"),
        (GOOD.replace("install", "Install"), "f, line 5: action cannot be recorded: it must"),
        (GOOD.replace('install"', 'install\\n"'), "f, line 5: action cannot be recorded: it must"),
        (GOOD.replace(KEPT, 'variables = ["version"]\n'), "f, line 6: variables must be a table of names"),
        (GOOD.replace('"why"', '""'), "f, line 6: variable 'version' has no reason"),
        (GOOD.replace('"why"', "7"), "f, line 6: variable 'version' has no reason"),
        (GOOD.replace("version = ", 'version = "why", "" = '), "f, line 6: variables contains a name that cannot"),
        (GOOD.replace("version = ", 'version = "why", "a\\u0000" = '), "f, line 6: variables contains a name"),
        (GOOD.replace('by = "x"', 'by = " "'), "f, line 7: approved_by must be text: the person"),
        (GOOD.replace("2026-01-31", '"2026-01-31"'), "f, line 8: approved_on must be a date"),
        (GOOD + other("tool", "/q"), "f, line 10: duplicates the name of the package at f, line 1"),
        (GOOD + other("b", "/p/{v}"), "f, line 11: duplicates the route of the package at f, line 1"),
        (GOOD + other("b", "/p/{v}/"), "f, line 11: duplicates the route of the package at f, line 1"),
        (GOOD + other("b", "/p/latest"), "f, line 11: is ambiguous: some paths also match the package at f, line 1"),
        (GOOD + other("b", "/{v}/{}"), "f, line 11: is ambiguous: some paths also match the package at f, line 1"),
    ],
)
def test_errors_name_the_line(text: str, error: str) -> None:
    with pytest.raises(InvalidPackagesError) as caught:
        parse_packages(text, "f")
    assert str(caught.value).startswith(error)


def test_an_unreadable_file_is_reported_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidPackagesError, match="missing.toml: cannot be read: No such file"):
        read_packages(tmp_path / "missing.toml")
    (tmp_path / "latin.toml").write_bytes(b"# gr\xfcn")
    with pytest.raises(InvalidPackagesError, match="latin.toml: cannot be read: is not UTF-8"):
        read_packages(tmp_path / "latin.toml")
    (tmp_path / "good.toml").write_text(GOOD)
    assert [package.name for package in read_packages(tmp_path / "good.toml")] == ["tool"]
