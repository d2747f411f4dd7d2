"""The dashboard and the alerts ask for what the programs really serve, as a running exporter and gateway show."""

import json
import re
import shutil
import socket
import subprocess
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from support.ledger import until
from support.programs import Shell, wait_for_line

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "telemetry.json"
ALERTS = DEPLOY / "prometheus" / "telemetry-alerts.yaml"
ALERT_TESTS = DEPLOY / "prometheus" / "telemetry-alerts.test.yaml"
OF_THE_SCRAPE = {"job", "instance"}
SECRET = "CANARY-METRICS"

Served = dict[str, dict[str, set[str]]]
"""Names of samples, each with its labels and their values."""


class Expression(NamedTuple):
    """A PromQL expression and where it stands."""

    place: str
    text: str


def dashboard_expressions() -> list[Expression]:
    dashboard = json.loads(DASHBOARD.read_text())
    found = [
        Expression(panel["title"], target["expr"])
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    ]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            (metric,) = re.findall(r"label_values\((\w+), job\)", variable["definition"])
            found.append(Expression(variable["name"], metric))
    return found


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


EXPRESSIONS = [*dashboard_expressions(), *(Expression(rule["alert"], rule["expr"]) for rule in alerts())]


def scrape(address: str) -> tuple[Served, str]:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    served: Served = defaultdict(lambda: defaultdict(set))
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = served[sample.name]
            for name, value in sample.labels.items():
                labels[name].add(value)
    return served, text


@contextmanager
def running_exporter(shell: Shell, gateway: str) -> Iterator[str]:
    arguments = ("export", "run", "--addr", gateway, "--metrics-addr", "127.0.0.1:0")
    with shell.background(*arguments) as process:
        yield wait_for_line(process, r"metrics at http://(\S+)/metrics")
        process.terminate()
        process.communicate(timeout=30)
        assert process.returncode == 0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    shell = Shell(
        tmp_path_factory.mktemp("monitoring"),
        {
            "TELEMETRY_EXPORT_MODE": "all",
            "TELEMETRY_INSTANCE_ID": SECRET,
            "TELEMETRY_GATEWAY_EXPORTER_EXPORT_INTERVAL": "200ms",
            "TELEMETRY_GATEWAY_EXPORTER_METRICS_INTERVAL": "200ms",
        },
    )
    assert shell.telemetry("db", "upgrade").code == 0
    recorded = shell.telemetry("record", "search", "submit", "--private", f"query={SECRET}")
    assert recorded.code == 0, recorded.err
    gateway = ("gateway", "serve", "--listen", "127.0.0.1:0")
    shell.environment["TELEMETRY_GATEWAY_METRICS_ADDR"] = "127.0.0.1:0"
    with shell.background(*gateway) as process:
        metrics = wait_for_line(process, r'"address": ?"([^"]+)", ?"event": ?"metrics served"')
        address = wait_for_line(process, r"listening on (\S+)")
        with running_exporter(shell, f"http://{address}") as exporter_metrics:
            texts: list[str] = []

            def exported() -> bool:
                text = scrape(exporter_metrics)[1]
                texts[:] = [text]
                return "telemetry_events_exported_total 1.0" in text and "telemetry_events_queued 1.0" in text

            until(exported, 60, lambda: "\n".join(texts))
            found: Served = {}
            for at in (exporter_metrics, metrics):
                samples, text = scrape(at)
                assert SECRET not in text
                found |= samples
        process.terminate()
        process.communicate(timeout=30)
    return found


def selectors(expression: Expression) -> tuple[list[Any], set[str]]:
    """Returns what an expression selects, and the labels that it groups by."""
    text = expression.text.replace("$__rate_interval", "5m")
    selected: list[Any] = []
    grouped: set[str] = set()

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            selected.append(node)
        elif isinstance(node, promql_parser.MatrixSelector):
            selected.append(node.vector_selector)
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            grouped.update(node.modifier.labels)
        return True

    promql_parser.walk(promql_parser.parse(text), visit)
    return selected, grouped


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda expression: expression.place)
def test_every_metric_and_label_that_is_asked_for_is_served(served: Served, expression: Expression) -> None:
    selected, grouped = selectors(expression)
    assert selected
    for selector in selected:
        assert selector.name in served, f"{selector.name} is not served"
        labels = served[selector.name]
        for matcher in selector.matchers.matchers:
            assert matcher.name in labels or matcher.name in OF_THE_SCRAPE, matcher.name
            if matcher.name not in OF_THE_SCRAPE:
                assert set(matcher.value.split("|")) <= labels[matcher.name]
        assert grouped <= set(labels) | OF_THE_SCRAPE


def test_every_metric_of_ours_is_on_the_dashboard(served: Served) -> None:
    asked = {selector.name for expression in EXPRESSIONS for selector in selectors(expression)[0]}
    ours = {name for name in served if name.startswith("telemetry_") and not name.endswith("_created")}
    # Of a histogram the buckets are asked for.
    assert {name for name in ours if not name.endswith(("_sum", "_count"))} <= asked


def test_the_dashboard_is_whole() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels if panel["type"] != "row")
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    labels = {name for expression in dashboard_expressions() for name in re.findall(r'\$(\w+)"', expression.text)}
    assert labels <= {variable["name"] for variable in dashboard["templating"]["list"]}


def test_every_alert_says_what_is_wrong_how_bad_it_is_and_what_to_do() -> None:
    rules = alerts()
    assert len({rule["alert"] for rule in rules}) == len(rules) > 0
    guide = (DEPLOY.parent / "docs" / "how-to" / "monitor.md").read_text()
    for rule in rules:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert all(rule["annotations"][part].endswith(".") for part in ("summary", "description"))
        assert f"`{rule['alert']}`" in guide


def test_prometheus_itself_takes_the_rules_and_they_fire_when_they_should() -> None:
    tested = {
        test["alertname"]
        for case in yaml.safe_load(ALERT_TESTS.read_text())["tests"]
        for test in case["alert_rule_test"]
    }
    assert tested >= {rule["alert"] for rule in alerts()}
    if promtool := shutil.which(
        "promtool"
    ):  # it comes with Prometheus; what it checks beyond the tests above is a bonus
        for command in (("check", "rules", str(ALERTS)), ("test", "rules", str(ALERT_TESTS))):
            done = subprocess.run([promtool, *command], capture_output=True, text=True, check=False, timeout=60)
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "run", "--addr", "http://127.0.0.1:1", "--metrics-addr"),
        ("gateway", "serve", "--listen", "127.0.0.1:0"),
    ],
    ids=["export", "gateway"],
)
def test_a_metrics_port_that_is_taken_ends_the_program_with_one_clear_line(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        shell = Shell(tmp_path, {"TELEMETRY_INSTANCE_ID": "i", "TELEMETRY_GATEWAY_METRICS_ADDR": address})
        more = (address,) if arguments[-1] == "--metrics-addr" else ()
        done = shell.telemetry(*arguments, *more)
    assert done.code == 1
    assert f"error: cannot serve metrics at {address}: Address already in use; set another port" in done.err
    assert "Traceback" not in done.err
