"""The output of commands: tables, JSON, and errors on standard error."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import orjson
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

out = Console()
"""Standard output: the result of a command."""

err = Console(stderr=True)
"""Standard error: everything else."""


_INDENT: Final = 2
_BORDERS: Final = 7  # of a table with two columns

_READABLE_WIDTH: Final = 16
"""Columns are not folded to less than this: a narrower table is harder to read than lines."""


def print_json(value: object) -> None:
    """Print a value as JSON, on one line."""
    sys.stdout.write(orjson.dumps(value, default=str).decode() + "\n")
    sys.stdout.flush()


def print_json_lines(values: Iterable[object]) -> None:
    """Print each value as JSON, one per line."""
    for value in values:
        print_json(value)


def print_facts(title: str, facts: Mapping[str, object]) -> None:
    """Print names and values as a table with two columns; in a narrow terminal, as lines."""
    cells = [[Text(name), _cell(value)] for name, value in facts.items()]
    # Words are not broken, so that ids and URLs can be copied.
    longest_word = max((cell_len(word) for _, value in cells for word in value.plain.split()), default=0)
    names = max((cell_len(name.plain) for name, _ in cells), default=0)
    if max(_table_width(("", ""), cells), names + longest_word + _BORDERS) > out.width:
        out.print(Group(Text(title, style="table.title"), *_lines(cells)), crop=False)
        return
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for row in cells:
        table.add_row(*row)
    out.print(table)


def print_rows(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; if the terminal is too narrow, a block of lines for each row.

    The first column is an id or a name. It is never folded, so that it can be copied.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    table = Table(title=title, title_justify="left")
    for position, column in enumerate(columns):
        table.add_column(column, no_wrap=position == 0, overflow="fold")
    for row in cells:
        table.add_row(*row)
    if _table_width(columns, cells) <= out.width:
        out.print(table)
    else:
        out.print(_blocks(title, columns, cells), crop=False)  # ids may be longer than a line


def _cell(value: object) -> Text:
    # As text, not as markup, and without control characters: reasons come from other programs.
    text = "-" if value is None else str(value)
    return Text("".join(character if character.isprintable() else " " for character in text))


def _table_width(columns: Sequence[str], cells: Sequence[Sequence[Text]]) -> int:
    """Return the width of a table with an unfolded first column and other columns folded to a readable width."""
    natural = [max(map(cell_len, [name, *(row[at].plain for row in cells)])) for at, name in enumerate(columns)]
    return sum([natural[0], *(min(width, _READABLE_WIDTH) for width in natural[1:])]) + 3 * len(columns) + 1


def _blocks(title: str, columns: Sequence[str], cells: Sequence[Sequence[Text]]) -> RenderableType:
    parts: list[RenderableType] = [Text(title, style="table.title")]
    for row in cells:
        head = row[0].copy()
        head.stylize("bold")
        head.no_wrap, head.overflow = True, "ignore"
        facts = [[Text(name), cell] for name, cell in zip(columns[1:], row[1:], strict=True)]
        parts += [head, *_beside(facts)]
    return Group(*parts)


def _beside(facts: Sequence[Sequence[Text]]) -> Iterable[RenderableType]:
    """Yield names and values side by side; in a narrow terminal, line by line."""
    names = max((cell_len(name.plain) for name, _ in facts), default=0)
    values = max((cell_len(value.plain) for _, value in facts), default=0)
    if names + 2 * _INDENT + min(values, _READABLE_WIDTH) > out.width:
        yield from _lines(facts)
        return
    block = Table.grid(padding=(0, _INDENT, 0, 0))
    block.add_column(style="dim", no_wrap=True)
    block.add_column(overflow="fold")
    for name, value in facts:
        block.add_row(" " * _INDENT + name.plain, value)
    yield block


def _lines(facts: Sequence[Sequence[Text]]) -> Iterable[RenderableType]:
    """Yield each name with its value on the same line if it fits, else folded below it."""
    for name, value in facts:
        label, shown = name.copy(), value.copy()
        label.stylize("dim")
        if cell_len(name.plain) + cell_len(value.plain) + 2 * _INDENT <= out.width:
            yield Padding(label.append("  ").append_text(shown), (0, 0, 0, _INDENT), expand=False)
            continue
        yield Padding(label, (0, 0, 0, _INDENT), expand=False)
        if " " in value.plain:
            shown.overflow = "fold"
            yield Padding(shown, (0, 0, 0, 2 * _INDENT), expand=False)
        else:  # an id or a URL is not folded, so that it can be copied
            yield Text(" " * 2 * _INDENT, no_wrap=True, overflow="ignore").append_text(shown)


def print_text(text: str) -> None:
    """Print a sentence unchanged: without markup, and without wrapping, which would break a copied command."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def print_error(text: str) -> None:
    """Print an error on standard error, unchanged as by `print_text`."""
    err.print("error:", style="bold red", end=" ")
    err.print(text, markup=False, highlight=False, soft_wrap=True)


def print_warning(text: str) -> None:
    """Print a warning on standard error, unchanged as by `print_text`."""
    err.print("warning:", style="bold yellow", end=" ")
    err.print(text, markup=False, highlight=False, soft_wrap=True)
