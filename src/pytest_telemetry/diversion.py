"""Stops recorders from writing during a test run, without importing a recorder before the project under test does."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

from pytest_telemetry.ownership import is_ours

_DIVERTING: Final = "recorder.diversion"


class Nowhere:
    """A diversion that discards events which no test asked for."""

    def take_events(self, events: Sequence[object], **_: Any) -> None:
        """Discard events."""


class DivertWhenImported(MetaPathFinder):
    """Discards what every recorder of this process records, from the import of `recorder` on.

    This import hook in `sys.meta_path` waits for an import of `recorder`. So a test run that never records loads
    nothing, and events recorded during the import of a test or a conftest are discarded, too.
    """

    def __init__(self) -> None:
        self._diversions = ExitStack()

    def begin(self) -> None:
        """Divert what is recorded from now on."""
        sys.meta_path.insert(0, self)
        module = sys.modules.get(_DIVERTING)
        if module is not None and is_ours(module.__spec__):
            self.divert(module)

    def end(self) -> None:
        """Let recorders write to their stores again."""
        sys.meta_path.remove(self)
        self._diversions.close()

    def divert(self, module: ModuleType) -> None:
        """Divert the recorders of this `recorder.diversion`."""
        self._diversions.enter_context(module.divert_events(Nowhere()))

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec whose loader diverts events; None for every other module."""
        if fullname != _DIVERTING:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None or not is_ours(spec):
            return None
        spec.loader = _DivertingLoader(spec.loader, self)
        return spec


class _DivertingLoader(Loader):
    """Loads a module with its own loader, then diverts events."""

    def __init__(self, loader: Loader, diverting: DivertWhenImported) -> None:
        self._loader = loader
        self._diverting = diverting

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # Tools that read the module's source get its own loader.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._diverting.divert(module)
