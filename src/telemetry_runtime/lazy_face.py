"""Import the public names of a package when they are first used.

A process then loads only what it uses: a process that only records never loads migrations.
"""

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib import import_module


def load_lazily(package: str, modules: Mapping[str, str], *, extra: str | None = None) -> Callable[[str], object]:
    """Return a `__getattr__` for a package.

    Args:
        package: The package's `__name__`.
        modules: The submodule that defines each public name.
        extra: The extra that installs what these modules import; None if the base install has all of it. If a package
            is missing, the error says what to install.
    """
    missing_extra = partial(_needs_extra, extra) if extra is not None else nullcontext

    def load(name: str) -> object:
        face = sys.modules[package]
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=face)
        with missing_extra():
            module = import_module(f"{package}.{modules[name]}")
        value: object = getattr(module, name)
        setattr(face, name, value)  # so __getattr__ is not called again
        return value

    return load


def _needs_extra(extra: str) -> AbstractContextManager[None]:
    from telemetry_runtime.extras import needs_extra  # noqa: PLC0415 - loads more than a face may

    return needs_extra(extra)
