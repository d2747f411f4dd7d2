"""Whether `telemetry` and `recorder` are ours: a project under test may have other packages of these names."""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_OURS: Final = Path(__file__).resolve().parents[1]
_SHORT_NAMES: Final = ("telemetry", "recorder")


def foreign_package() -> str | None:
    """Return what is wrong where Python finds another package instead of ours; None where it finds ours.

    Nothing is imported for it.
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
    """Return whether a module lies beside this plugin."""
    place = _place(spec)
    return place is not None and place.is_relative_to(_OURS)


def _spec(name: str) -> ModuleSpec | None:
    if name in sys.modules:
        return getattr(sys.modules[name], "__spec__", None)  # a stub has none, for which `find_spec` raises
    return find_spec(name)


def _place(spec: ModuleSpec | None) -> Path | None:
    if spec is None:
        return None
    folders = [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or ())
    return Path(folders[0]).resolve() if folders else None
