"""Each command imports only the modules it needs: imports take most of a short command's time."""

import subprocess
import sys

import pytest
import typer

from telemetry_cli.main import COMMANDS, make_app

LOADED = """
import sys
from telemetry_cli.main import make_app
make_app(sys.argv[1:])
print(*sys.modules)
"""
HEAVY = {"grpc", "authlib", "apscheduler", "cryptography", "starlette", "uvicorn", "ariadne", "jinja2"}


def loaded(*arguments: str) -> set[str]:
    program = [sys.executable, "-c", LOADED, *arguments]
    return set(subprocess.run(program, capture_output=True, text=True, timeout=120, check=True).stdout.split())


@pytest.mark.parametrize("command", ["record", "mode", "queue", "dead", "db", "admin"])
def test_a_command_that_does_not_send_or_serve_imports_neither(command: str) -> None:
    assert loaded(command, "anything") & HEAVY == set()


@pytest.mark.parametrize("arguments", [(), ("--help",), ("no-such-command",)])
def test_no_command_module_is_imported_without_a_known_command(arguments: tuple[str, ...]) -> None:
    assert {name for name in loaded(*arguments) if name.startswith("telemetry_cli.commands.")} == set()


def test_the_list_of_commands_matches_the_commands_help() -> None:
    every = typer.main.get_command(make_app())
    assert isinstance(every, typer.core.TyperGroup)
    first_paragraphs = {
        name: " ".join((command.help or "").partition("\n\n")[0].split()) for name, command in every.commands.items()
    }
    assert first_paragraphs == {name: command.summary for name, command in COMMANDS.items()}
