"""Outside of `telemetry_store/dialects/` and the frozen migrations no code asks which database it is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import telemetry_store
from telemetry_store.dialects import DIALECTS

SOURCE = Path(telemetry_store.__file__).parent.parent
GATEWAYS_OWN_FILE = "telemetry_gateway/publishing/deduplication.py"  # always SQLite
MAY_KNOW = ("telemetry_store/dialects/", "telemetry_store/migrations/versions/", GATEWAYS_OWN_FILE)
ASKING = {"is_sqlite", "sqlstate", "sqlite_errorname", "is_postgresql", "get_backend_name", "get_dialect", "drivername"}
OF_A_DIALECT = {"name", "driver"}
NAMES = {name for dialect in DIALECTS for name in dialect.url_names} | {
    "psycopg",
    "pysqlite",
    "sqlstate",
    "sqlite_errorname",
}
PREFIXES = tuple(f"{dialect.name}_" for dialect in DIALECTS)


def branches(code: str) -> Iterator[tuple[int, str]]:
    """Yields line and text of what only a branch on the database needs."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Attribute(value=ast.Attribute(attr="dialect") | ast.Name(id="dialect"), attr=attribute):
                if attribute in OF_A_DIALECT:
                    yield node.lineno, f"dialect.{attribute}"
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.arg(arg=name) if name in ASKING:
                yield node.lineno, name
            case ast.Constant(value=str(text)) if text in NAMES:
                yield node.lineno, repr(text)
            case ast.keyword(arg=str(name)) if name.startswith(PREFIXES):
                yield node.value.lineno, f"{name}="


def test_no_other_file_branches_on_the_database() -> None:
    found = [
        f"src/{file.relative_to(SOURCE)}:{line}: {text}"
        for file in sorted(SOURCE.rglob("*.py"))
        if not file.relative_to(SOURCE).as_posix().startswith(MAY_KNOW)
        for line, text in branches(file.read_text(encoding="utf-8"))
    ]
    assert not found, "put what differs into telemetry_store/dialects/:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "code",
    [
        'if connection.dialect.name == "x": ...',
        "driver = dialect.driver",
        "if database.is_sqlite: ...",
        "kind = url.get_backend_name()",
        "def statement(*, is_sqlite): ...",
        "if kind == 'postgresql': ...",
        "code = getattr(error, 'sqlstate', None)",
        "Index('x', sqlite_where=condition)",
    ],
)
def test_a_branch_is_found(code: str) -> None:
    assert [line for line, _ in branches(f"\n{code}\n")][:1] == [2]
