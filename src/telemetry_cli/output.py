"""What commands print: tables for people, JSON for machines, errors on standard error."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import orjson
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

out = Console()
"""Standard output: what a command was asked for."""

err = Console(stderr=True)
"""Standard error: everything else."""


_READABLE_WIDTH: Final = 16
"""A column is folded to this, not further: below it, a table is harder to read than lines."""


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
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, _cell(value))
    out.print(table)


def print_rows(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table; where the terminal is too narrow for one, a block of lines for each row.

    The first column is an id or a name. It is copied, so it stays whole.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    table = Table(title=title, title_justify="left")
    for position, column in enumerate(columns):
        table.add_column(column, no_wrap=position == 0, overflow="fold")
    for row in cells:
        table.add_row(*row)
    out.print(table if _table_width(columns, cells) <= out.width else _blocks(title, columns, cells))


def _cell(value: object) -> Text:
    # As text, not as markup: reasons are other programs' words. What moves the cursor is taken out of them.
    text = "-" if value is None else str(value)
    return Text("".join(character if character.isprintable() else " " for character in text))


def _table_width(columns: Sequence[str], cells: Sequence[Sequence[Text]]) -> int:
    """Returns how wide a table is in which the first column is whole and the others are not folded to rags."""
    natural = [max(map(cell_len, [name, *(row[at].plain for row in cells)])) for at, name in enumerate(columns)]
    return sum([natural[0], *(min(width, _READABLE_WIDTH) for width in natural[1:])]) + 3 * len(columns) + 1


def _blocks(title: str, columns: Sequence[str], cells: Sequence[Sequence[Text]]) -> RenderableType:
    parts: list[RenderableType] = [Text(title, style="table.title")]
    for row in cells:
        block = Table.grid(padding=(0, 2))
        block.add_column(style="dim")
        block.add_column(overflow="fold")
        for name, cell in zip(columns[1:], row[1:], strict=True):
            block.add_row(f"  {name}", cell)
        head = row[0].copy()
        head.stylize("bold")
        head.no_wrap, head.overflow = True, "ignore"
        parts += [head, block]
    return Group(*parts)


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
