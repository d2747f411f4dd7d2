from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from support.events import CANARY
from telemetry import EventContext, ExportMode, ExportPolicy, InvalidPolicyError, NewEvent, TelemetryMode
from telemetry.event import EventBuilder
from telemetry.policy import export_opt_out
from telemetry.v1 import telemetrygateway_pb2 as pb


def event(flags: dict[str, str | bool] | None = None) -> pb.Event:
    context = EventContext(user_id=7, feature_flags=flags)
    return EventBuilder("1").build(NewEvent("search", "submit", context=context))


ALL = ExportMode(everything=True)


@pytest.mark.parametrize(
    ("text", "covered", "not_covered"),
    [
        ("none", [], ["search", "search.results"]),
        ("", [], ["search"]),
        ("all", ["search", "x.y"], []),
        ("ALL", ["search", "x.y"], []),
        (" All ", ["search", "x.y"], []),
        ("NONE", [], ["search"]),
        ("online", ["online", "online.x"], ["on"]),
        ("on.call, search.all", ["on.call.x", "search.all"], ["on", "search"]),
        ("search", ["search", "search.results", "search.a.b"], ["searches", "searchx.results", "editor"]),
        ("search.", ["search", "search.results"], ["searches"]),
        ("search.results, editor", ["search.results", "editor.x"], ["search", "search.resultsx"]),
    ],
)
def test_a_mode_covers_its_prefixes_and_the_features_below(
    text: str, covered: list[str], not_covered: list[str]
) -> None:
    mode = ExportMode.parse(text)
    assert [feature for feature in covered + not_covered if mode.covers(feature)] == covered
    assert ExportMode.parse(str(mode)) == mode


@pytest.mark.parametrize("text", ["Search", "a1", "search,all", "none,search", f"{CANARY}", "search,,x"])
def test_an_invalid_export_mode_is_rejected(text: str) -> None:
    with pytest.raises(InvalidPolicyError) as caught:
        ExportMode.parse(text)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
@pytest.mark.parametrize(
    ("word", "use"),
    [
        *((word, "use all") for word in ("true", "yes", "on", "1", "enabled", "y")),
        *((word, "use none") for word in ("false", "no", "off", "0", "disabled", "n")),
    ],
)
@pytest.mark.parametrize("form", ["{}", " {} ", "{}.", "search,{}"])
def test_a_word_for_yes_or_no_is_rejected_with_the_valid_forms(
    word: str, use: str, case: Callable[[str], str], form: str
) -> None:
    with pytest.raises(InvalidPolicyError, match="must be none, all, or feature prefixes") as caught:
        ExportMode.parse(form.format(case(word)))
    assert use in str(caught.value)


@pytest.mark.parametrize("text", ["ALL,search", "search,None"])
def test_all_and_none_cannot_be_combined(text: str) -> None:
    with pytest.raises(InvalidPolicyError, match="cannot be combined with others"):
        ExportMode.parse(text)


def test_by_default_nothing_is_exported_and_the_policy_says_why() -> None:
    policy = ExportPolicy()
    assert not policy.allows(event())
    assert policy.obstacle == "TELEMETRY_EXPORT_MODE is none (set it to all, or to feature prefixes)"


@pytest.mark.parametrize(
    ("policy", "obstacle"),
    [
        (ExportPolicy(export_mode=ALL), None),
        (ExportPolicy(export_mode=ALL, telemetry_mode=TelemetryMode.LOCAL), "TELEMETRY_MODE is local"),
        (ExportPolicy(export_mode=ALL, telemetry_mode=TelemetryMode.OFF), "TELEMETRY_MODE is off"),
        (ExportPolicy(export_mode=ALL, opted_out_by="DO_NOT_TRACK"), "DO_NOT_TRACK is set"),
    ],
)
def test_an_opt_out_overrides_the_mode(policy: ExportPolicy, obstacle: str | None) -> None:
    assert policy.obstacle == obstacle
    assert policy.allows(event()) == (obstacle is None)


@pytest.mark.parametrize(
    ("text", "mode"), [("on", TelemetryMode.ON), (" LOCAL ", TelemetryMode.LOCAL), ("Off", TelemetryMode.OFF)]
)
def test_telemetry_modes_are_parsed(text: str, mode: TelemetryMode) -> None:
    assert TelemetryMode.parse(text) is mode


def test_an_invalid_telemetry_mode_is_rejected() -> None:
    with pytest.raises(InvalidPolicyError, match="must be one of on, local, off") as caught:
        TelemetryMode.parse(CANARY)
    assert (caught.value.__context__, CANARY in str(caught.value)) == (None, False)


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, None),
        ({"DO_NOT_TRACK": "1"}, "DO_NOT_TRACK"),
        ({"DO_NOT_TRACK": "TRUE"}, "DO_NOT_TRACK"),
        ({"SCARF_NO_ANALYTICS": "true"}, "SCARF_NO_ANALYTICS"),
        ({"DO_NOT_TRACK": "0", "SCARF_NO_ANALYTICS": "yes"}, None),
        ({"DO_NOT_TRACK": ""}, None),
    ],
)
def test_opt_out_values_are_1_or_true_in_any_case(environ: dict[str, str], name: str | None) -> None:
    assert export_opt_out(environ) == name


@pytest.mark.parametrize(
    ("flag", "allowed"), [(True, True), (False, False), ("TRUE", True), ("false", False), ("variant-a", False)]
)
def test_a_users_flag_prevents_export_unless_it_is_true(flag: str | bool, allowed: bool) -> None:
    assert ExportPolicy(export_mode=ALL).allows(event({"telemetry-export": flag})) == allowed


def test_the_switch_is_called_last_with_the_event() -> None:
    asked: list[int] = []

    def switch(given: pb.Event) -> bool:
        asked.append(given.user.user_id)
        return given.user.user_id != 7

    assert not ExportPolicy(export_mode=ALL, switch=switch).allows(event())
    assert not ExportPolicy(switch=switch).allows(event())
    assert asked == [7]


def test_a_failing_switch_prevents_export_and_logs_no_message() -> None:
    def switch(given: pb.Event) -> bool:
        raise RuntimeError(CANARY)

    with capture_logs() as logs:
        assert not ExportPolicy(export_mode=ALL, switch=switch).allows(event())
    assert [line["error"] for line in logs] == ["RuntimeError"]
    assert CANARY not in str(logs)
