"""Names of a package's face that are imported when they are first used.

A package with a lazy face costs nothing beyond what is used of it: a process that only records never loads migrations.
"""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def load_lazily(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """Return a `__getattr__` for a package.

    Args:
        package: The package's `__name__`.
        modules: The module of the package that each public name is in.
    """

    def load(name: str) -> object:
        face = sys.modules[package]
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=face)
        value: object = getattr(import_module(f"{package}.{modules[name]}"), name)
        setattr(face, name, value)  # the next use costs nothing
        return value

    return load
