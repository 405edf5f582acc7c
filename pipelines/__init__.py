"""Stages and everything else that a run consists of. Start reading at `pipelines.annotate`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

# Old module names that scripts of version 0.1 import, and where their contents are now. Kept for
# one release.
_MOVED = {
    "command_line": ("options.command_line",),
    "documents": ("output.documents",),
    "engines": ("wiring.engines",),
    "finished": ("ledger.finished",),
    "job": ("commands.job",),
    "lease": ("output.lease",),
    "media": ("wiring.media",),
    "preparing": ("wiring.preparers",),
    "refresh": ("output.refresh",),
    "resume": ("output.resume",),
    "settings": ("output.settings",),
    "tasks": (
        "options.tasks",
        "options.registered_task",
        "options.several_tasks",
        *(f"options.tasks.{name}" for name in ("ask", "caption", "ground", "ocr")),
    ),
    "writer": ("output.writer",),
}


class _Moved(MetaPathFinder, Loader):
    """Imports a module under its old name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        return spec_from_loader(fullname, self) if package == __name__ and name in _MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        for place in _MOVED[module.__name__.rpartition(".")[2]]:
            found = vars(importlib.import_module(f"{__name__}.{place}"))
            vars(module).update(
                {name: value for name, value in found.items() if not name.startswith("__")}
            )


sys.meta_path.append(_Moved())
