"""What commands print: tables for people, JSON for machines, errors and logs on standard error."""

import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson
import structlog
from rich.console import Console
from rich.table import Table

out = Console()
"""Standard output: what a command was asked for."""

err = Console(stderr=True)
"""Standard error: everything else."""


def print_json(value: object) -> None:
    """Prints a value as JSON, one line."""
    sys.stdout.write(orjson.dumps(value, default=str).decode() + "\n")
    sys.stdout.flush()


def print_json_lines(values: Iterable[object]) -> None:
    """Prints each value as JSON on a line of its own."""
    for value in values:
        print_json(value)


def print_facts(title: str, facts: Mapping[str, object]) -> None:
    """Prints names and values as a table of two columns."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in facts.items():
        table.add_row(name, "-" if value is None else str(value))
    out.print(table)


def print_rows(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table."""
    table = Table(title=title, title_justify="left")
    for position, column in enumerate(columns):
        # The first column is an id or a name: it is copied, so it stays whole.
        table.add_column(column, no_wrap=position == 0, overflow="fold")
    for row in rows:
        table.add_row(*("-" if value is None else str(value) for value in row))
    out.print(table)


def print_text(text: str) -> None:
    """Prints a sentence, as it is: no markup, no wrapping that would break a copied command."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def print_error(text: str) -> None:
    """Prints an error, as it is: no markup, no wrapping that would break a copied command."""
    err.print("error:", style="bold red", end=" ")
    err.print(text, markup=False, highlight=False, soft_wrap=True)


def print_warning(text: str) -> None:
    """Prints a warning, as it is, on standard error."""
    err.print("warning:", style="bold yellow", end=" ")
    err.print(text, markup=False, highlight=False, soft_wrap=True)


def log_to_stderr(level: int = logging.WARNING) -> None:
    """Sends this process's logs to standard error: readable in a terminal, JSON lines otherwise."""
    render: Callable[..., Any] = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
