import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_ingest.collection.routes import Route, RouteTable


def table(*routes: str) -> RouteTable[str]:
    return RouteTable([(Route.parse(route), route) for route in routes])


@pytest.mark.parametrize(
    ("route", "path", "variables"),
    [
        ("/", "/", {}),
        ("/pings", "/pings", {}),
        ("/pings", "/pings/", {}),
        ("/pings/", "/pings", {}),
        ("/p/{language}/{version}", "/p/java/17", {"language": "java", "version": "17"}),
        ("/p/{language}/{}", "/p/java/17", {"language": "java"}),
        ("/p/{name}", "/p/a%2Fb%20c", {"name": "a/b c"}),
        ("/p/{name}", "/p/1.0+local", {"name": "1.0+local"}),
        ("/p/{name}", "/p/%FF", {"name": "\N{REPLACEMENT CHARACTER}"}),
        ("/p/{name}", "/p/gr\u00fcn", {"name": "gr\u00fcn"}),
        ("/@scope/x", "/%40scope/x", {}),
    ],
)
def test_a_path_matches_segment_by_segment(route: str, path: str, variables: dict[str, str]) -> None:
    assert table(route).match(path) == (route, variables)


@pytest.mark.parametrize(
    "path",
    ["", "/", "//", "/p", "/p/", "/p//17", "/p/java", "/p/java/", "/p/java/17/x", "/q/java/17", "/P/java/17", "*"],
)
def test_other_paths_do_not_match(path: str) -> None:
    assert table("/p/{language}/{version}").match(path) is None


def test_a_literal_prefix_does_not_hide_a_variable_route() -> None:
    routes = table("/a/{x}/c", "/{y}/b/d", "/a/b/e")
    assert routes.match("/a/b/c") == ("/a/{x}/c", {"x": "b"})
    assert routes.match("/a/b/d") == ("/{y}/b/d", {"y": "a"})
    assert routes.match("/a/b/e") == ("/a/b/e", {})
    assert routes.match("/a/b") is None


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        ("pings", "must begin with /"),
        ("", "must begin with /"),
        ("/a b", "has a segment that is neither"),
        ("/a%20b", "has a segment that is neither"),
        ("/v{version}", "has a segment that is neither"),
        ("/{1}", "has a segment that is neither"),
        ("/a//b", "has a segment that is neither"),
        ("/../b", "has a segment that is neither"),
        ("/b\n", "has a segment that is neither"),
        ("/{b}\n", "has a segment that is neither"),
        ("/a?b=c", "has a segment that is neither"),
        ("/{a}/{a}", "contains {a} twice"),
    ],
)
def test_an_invalid_route_is_reported(route: str, problem: str) -> None:
    with pytest.raises(ValueError, match="^" + problem.replace("{", "\\{")):
        Route.parse(route)


segments = st.sampled_from(["a", "b", "{x}", "{y}", "{}"])
routes = st.lists(segments, min_size=1, max_size=4, unique_by=lambda s: s if s in ("{x}", "{y}") else object()).map(
    lambda parts: "/" + "/".join(parts)
)
paths = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(routes, routes, paths)
def test_a_table_matches_like_each_route_alone(one: str, two: str, path: str) -> None:
    alone = [table(route).match(path) for route in (one, two)]
    if Route.parse(one).overlaps(Route.parse(two)):
        return
    assert None in alone
    assert table(one, two).match(path) == (alone[0] or alone[1])


@given(routes, routes)
def test_overlapping_routes_share_a_path(one: str, two: str) -> None:
    first, second = Route.parse(one), Route.parse(two)
    if not first.overlaps(second):
        return
    both = zip(first.segments, second.segments, strict=True)
    path = "/" + "/".join(a.text if a.literal else b.text if b.literal else "c" for a, b in both)
    assert table(one).match(path)
    assert table(two).match(path)
