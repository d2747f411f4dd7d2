"""The files in deploy/ match the program: its commands, variables and ports."""

import configparser
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from export import ExporterSettings
from recorder.settings import RecorderSettings
from support.programs import PROGRAM
from telemetry_admin import AdminSettings
from telemetry_cli.main import main
from telemetry_gateway import GatewaySettings
from telemetry_gateway.service import SERVICE_NAME
from telemetry_ingest import IngestSettings
from telemetry_ingest.health import LIVENESS_PATH, READINESS_PATH
from telemetry_runtime.listening import split_listen_address
from telemetry_store.schema_version import SCHEMA_VERSION

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
MANIFESTS = sorted((DEPLOY / "kubernetes").iterdir())
CONTAINERFILE = DEPLOY / "container" / "Containerfile"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEFAULT_PORT = split_listen_address(GatewaySettings.model_fields["listen_addr"].default)[1]


def variables() -> set[str]:
    kinds = (RecorderSettings, ExporterSettings, GatewaySettings, IngestSettings, AdminSettings)
    return {kind.variable_of(field) for kind in kinds for field in kind.model_fields}


def assert_is_a_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    for option in (argument for argument in arguments if argument.startswith("--")):
        assert option in shown


@pytest.mark.parametrize("file", [*UNITS, *MANIFESTS, CONTAINERFILE], ids=lambda file: file.name)
def test_every_variable_that_is_named_exists(file: Path) -> None:
    named = set(re.findall(r"\bTELEMETRY_[A-Z_]+[A-Z]", file.read_text()))
    assert named <= variables()


def unit(file: Path) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # names keep their capitals
    parser.read_string(file.read_text())
    return {name: dict(section) for name, section in parser.items()}


@pytest.mark.parametrize("file", SERVICES, ids=lambda file: file.name)
def test_a_service_runs_a_command_that_exists_and_may_do_little(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service = unit(file)["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert Path(program).name in PROJECT["scripts"]
    assert_is_a_command(arguments, capsys)
    for promise in ("NoNewPrivileges", "PrivateTmp", "ProtectHome", "RestrictSUIDSGID"):
        assert service[promise] == "yes"
    assert (service["ProtectSystem"], service["User"], service["UMask"]) == ("strict", "telemetry", "0077")
    assert Path(service["WorkingDirectory"]) == Path("/var/lib") / service["StateDirectory"]
    if service["Type"] == "exec":
        for settings in (GatewaySettings, IngestSettings):
            drain = settings.model_fields["drain_timeout"].default.total_seconds()
            assert int(service["TimeoutStopSec"]) > drain


def test_the_timer_starts_a_service_that_is_there() -> None:
    timer = unit(DEPLOY / "systemd" / "telemetry-export-once.timer")["Timer"]
    assert (DEPLOY / "systemd" / timer["Unit"]).is_file()


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze on this machine")
    for file in UNITS:
        text = file.read_text().replace("/opt/telemetry/bin/telemetry", "/bin/true")
        (tmp_path / file.name).write_text(text)
    done = subprocess.run(
        [analyze, "verify", "--man=no", *(str(tmp_path / file.name) for file in UNITS)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def documents() -> Iterator[dict[str, Any]]:
    for file in MANIFESTS:
        yield from yaml.safe_load_all(file.read_text())


def pods() -> dict[str, dict[str, Any]]:
    found = {}
    for document in documents():
        if document["kind"] == "Deployment":
            found[document["metadata"]["name"]] = document["spec"]["template"]["spec"]
        elif document["kind"] == "CronJob":
            found[f"{document['metadata']['name']}, cron"] = document["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return found


def test_kubernetes_takes_the_manifests() -> None:
    kinds = [document["kind"] for document in documents()]
    assert {"Deployment", "CronJob", "Service", "ConfigMap"} <= set(kinds)
    for document in documents():
        kubernetes_validate.validate(document, "1.29", strict=True)


@pytest.mark.parametrize("name", sorted(pods()))
def test_a_pod_runs_commands_that_exist_and_may_do_little(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    pod = pods()[name]
    maps = {each["metadata"]["name"] for each in documents() if each["kind"] == "ConfigMap"}
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        assert_is_a_command(container["args"], capsys)
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert {source["configMapRef"]["name"] for source in container["envFrom"] if "configMapRef" in source} <= maps


def test_the_gateways_probes_and_ports_fit() -> None:
    (container,) = pods()["telemetry-gateway"]["containers"]
    config = next(
        each["data"] for each in documents() if each["kind"] == "ConfigMap" and "gateway" in each["metadata"]["name"]
    )
    listening = split_listen_address(config["TELEMETRY_GATEWAY_LISTEN_ADDR"])[1]
    metrics = split_listen_address(config["TELEMETRY_GATEWAY_METRICS_ADDR"])[1]
    assert listening == DEFAULT_PORT
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
        "grpc": listening,
        "metrics": metrics,
    }
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"]["port"] == listening
        assert container[probe]["grpc"].get("service", SERVICE_NAME) == SERVICE_NAME
    settings = {
        field: config[variable]
        for field in GatewaySettings.model_fields
        if (variable := GatewaySettings.variable_of(field)) in config
    }
    assert GatewaySettings.load(**settings).sink.value == "nats"


def test_the_ingest_services_probes_and_ports_fit(tmp_path: Path) -> None:
    (container,) = pods()["telemetry-ingest"]["containers"]
    config = next(
        each["data"] for each in documents() if each["kind"] == "ConfigMap" and "ingest" in each["metadata"]["name"]
    )
    (mount,) = container["volumeMounts"]
    tokens = Path(config["TELEMETRY_INGEST_TOKENS_FILE"])
    assert tokens.parent == Path(mount["mountPath"])
    (tmp_path / tokens.name).touch()
    given = {
        field: config[variable]
        for field in IngestSettings.model_fields
        if (variable := IngestSettings.variable_of(field)) in config
    }
    settings = IngestSettings.load(**{**given, "tokens_file": tmp_path / tokens.name})
    assert settings.metrics_addr is not None
    listening, metrics = (split_listen_address(each)[1] for each in (settings.listen_addr, settings.metrics_addr))
    assert listening == split_listen_address(IngestSettings.model_fields["listen_addr"].default)[1]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
        "http": listening,
        "metrics": metrics,
    }
    assert container["readinessProbe"]["httpGet"] == {"port": "http", "path": READINESS_PATH}
    assert container["livenessProbe"]["httpGet"] == {"port": "http", "path": LIVENESS_PATH}


def instructions() -> list[tuple[str, str]]:
    lines = [line for line in CONTAINERFILE.read_text().splitlines() if line and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


def test_the_container_file_names_what_exists() -> None:
    found = instructions()
    assert {name for name, _ in found} <= {
        "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "ENTRYPOINT", "CMD",
    }  # fmt: skip
    for name, rest in found:
        if name == "COPY" and not rest.startswith("--from"):
            assert (ROOT / rest.split()[0]).exists()
    (users,) = (rest for name, rest in found if name == "USER")
    assert {pod["securityContext"]["runAsUser"] for pod in pods().values()} == {int(users)}
    assert ("EXPOSE", str(DEFAULT_PORT)) in found
    assert ("ENTRYPOINT", '["telemetry"]') in found
    (extras,) = re.findall(r"telemetry-recorder\[([^\]]*)\]", CONTAINERFILE.read_text())
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    requires = PROJECT["requires-python"].removeprefix(">=")
    for _, image in ((name, rest) for name, rest in found if name == "FROM"):
        version = re.search(r"python:(\d+\.\d+)", image)
        assert version is not None
        assert tuple(map(int, version[1].split("."))) >= tuple(map(int, requires.split(".")))


def test_the_wheel_that_the_image_installs_is_whole(tmp_path: Path) -> None:
    def run(*command: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command, capture_output=True, text=True, check=True, **options)

    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path / "wheels"), str(ROOT))
    (wheel,) = (tmp_path / "wheels").iterdir()
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "telemetry_store/migrations/versions/0001_create_or_adopt.py",
        "telemetry_store/migrations/versions/0002_audit_and_runs.py",
        "telemetry/py.typed",
        "telemetry_gateway/py.typed",
        "telemetry_ingest/graphql/schema.graphql",
    ):
        assert needed in names
    # Any other top-level name could be a package of the host's, which an installation would overwrite.
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert {"telemetry", "recorder", "export"} <= tops
    assert not [
        top for top in tops if not re.fullmatch(r"telemetry|recorder|export|telemetry_\w+|pytest_telemetry", top)
    ]
    run(*pip, "install", "--no-deps", "--target", str(tmp_path / "installed"), str(wheel))
    environment = {"PYTHONPATH": str(tmp_path / "installed"), "PATH": ""}
    # `-P` and the path before all else: what runs is the wheel's code, not this checkout's.
    upgraded = run(
        sys.executable, "-P", *PROGRAM[1:], "db", "upgrade", "--database-url", f"sqlite:///{tmp_path}/new.db",
        env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert f"at version {SCHEMA_VERSION}" in upgraded.stdout
    where = run(
        sys.executable, "-P", "-c", "import recorder; print(recorder.__file__)", env=environment, cwd=tmp_path
    ).stdout
    assert where.startswith(str(tmp_path))
