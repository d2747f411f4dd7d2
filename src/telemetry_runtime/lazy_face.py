"""Import the public names of a package when they are first used.

A process then loads only what it uses: a process that only records never loads migrations.
"""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def load_lazily(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """Return a `__getattr__` for a package.

    Args:
        package: The package's `__name__`.
        modules: The submodule that defines each public name.
    """

    def load(name: str) -> object:
        face = sys.modules[package]
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=face)
        value: object = getattr(import_module(f"{package}.{modules[name]}"), name)
        setattr(face, name, value)  # so __getattr__ is not called again
        return value

    return load
