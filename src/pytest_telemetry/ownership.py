"""Whether `telemetry` and `recorder` are this project's, because other packages may have these names, too."""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_OURS: Final = Path(__file__).resolve().parents[1]
_SHORT_NAMES: Final = ("telemetry", "recorder")


def foreign_package() -> str | None:
    """Return a description of the package that Python finds instead of this project's; None where it finds the latter.

    Does not import anything.
    """
    for name in _SHORT_NAMES:
        spec = _spec(name)
        if not is_ours(spec):
            place = _place(spec)
            return (
                f"`{name}` is {'not found' if place is None else f'imported from {place}'}, not from telemetry-recorder"
            )
    return None


def is_ours(spec: ModuleSpec | None) -> bool:
    """Return whether a module is installed beside this plugin."""
    place = _place(spec)
    return place is not None and place.is_relative_to(_OURS)


def _spec(name: str) -> ModuleSpec | None:
    if name in sys.modules:
        return getattr(sys.modules[name], "__spec__", None)  # a stub has no spec, and `find_spec` raises for it
    return find_spec(name)


def _place(spec: ModuleSpec | None) -> Path | None:
    if spec is None:
        return None
    folders = [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or ())
    return Path(folders[0]).resolve() if folders else None
