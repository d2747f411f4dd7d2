"""Names that README, docs and examples import are in the `__all__` of a package, its public interface (face)."""

import ast
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(folder.name for folder in (ROOT / "src").iterdir() if (folder / "__init__.py").exists())
# Submodules that docs may name: both middlewares have the same name, so each is imported from its module.
ROOMS = ("telemetry.web", "telemetry.web.asgi", "telemetry.web.wsgi", "telemetry_gateway.sinks")
PROGRAMS = ("pytest_telemetry", "telemetry_cli")
FACES = sorted({*PACKAGES, *ROOMS} - set(PROGRAMS))
LAZY = (
    "export",
    "telemetry_admin",
    "telemetry_gateway",
    "telemetry_ingest",
    "telemetry_runtime",
    "telemetry_store",
    "telemetry_testing",
)


class Import(NamedTuple):
    place: str
    module: str
    name: str


def code_blocks() -> Iterator[tuple[str, str]]:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for block in re.findall(r"^ *```python[^\n]*\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL):
            yield str(page.relative_to(ROOT)), textwrap.dedent(block)
    for example in sorted((ROOT / "examples").rglob("*.py")):
        yield str(example.relative_to(ROOT)), example.read_text()


def is_ours(module: str) -> bool:
    return module.partition(".")[0] in PACKAGES


def names_used(code: str) -> Iterator[tuple[str, str]]:
    """Yield the names that code uses from our packages, by `from` or as attributes of an imported module."""
    tree = ast.parse(code)
    modules = set()
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names, level=0) if is_ours(module):
                yield from ((module, each.name) for each in names)
            case ast.Import(names=names):
                modules |= {each.asname or each.name for each in names if is_ours(each.name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in modules and not node.attr.startswith("__"):
            yield ast.unparse(node.value), node.attr


IMPORTS = sorted({Import(place, *used) for place, code in code_blocks() for used in names_used(code)})


def test_imports_of_every_kind_of_page_are_found() -> None:
    assert {"README.md", "docs/tutorial.md", "examples/pipeline.py"} <= {each.place for each in IMPORTS}
    assert list(
        names_used("import telemetry_store\nfrom recorder import A\ntelemetry_store.B(telemetry_store.__doc__)")
    ) == [
        ("recorder", "A"),
        ("telemetry_store", "B"),
    ]


@pytest.mark.parametrize("used", IMPORTS, ids=lambda used: f"{used.place}: {used.module}.{used.name}")
def test_imports_of_pages_and_examples_are_in_a_face(used: Import) -> None:
    assert used.module in FACES, f"import it from {used.module.partition('.')[0]}, and add {used.name} to its __all__"
    assert used.name in import_module(used.module).__all__


@pytest.mark.parametrize("face", FACES)
def test_a_face_is_sorted_and_its_names_exist(face: str) -> None:
    module = import_module(face)
    assert list(module.__all__) == sorted(set(module.__all__))
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.parametrize("package", LAZY)
def test_a_lazy_face_imports_a_name_on_first_use(package: str) -> None:
    shown = "print(*sys.modules)"
    used = f"{package}.{import_module(package).__all__[0]}"
    code = f"import sys, {package}; {shown}; {used}; {shown}"
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    before, after = (set(line.split()) for line in lines)
    heavy = {"sqlalchemy", "alembic", "pydantic", "google.protobuf", "structlog"}
    assert before & heavy == set()
    assert after & heavy


@pytest.mark.parametrize("package", LAZY)
def test_a_lazy_face_names_the_missing_attribute(package: str) -> None:
    module = import_module(package)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'missing'"):
        module.missing  # noqa: B018 - reading it is the test
    modules = {path.stem for path in (ROOT / "src" / package).iterdir()}
    assert modules & set(module.__all__) == set(), "a module's name would hide the face's"
