"""The package as its users import it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import internvl_batch

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, logging, os, signal, sys, warnings
def state():
    handlers = [repr(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    names = ("", "internvl_ops", "pipelines", "ray.data")
    loggers = [logging.getLogger(name).handlers for name in names]
    return [dict(os.environ), handlers, repr(loggers), list(sys.path)]
before, filters = state(), repr(warnings.filters)
import internvl_batch
same = before == state() and filters == repr(warnings.filters)
slow = {"ray", "torch", "pydantic", "pyarrow", "numpy"}
names = [name for name in sys.modules if name.partition(".")[0] in slow]
for name in internvl_batch.__all__:
    getattr(internvl_batch, name)
print(json.dumps([names, same and before == state(), "ray" in sys.modules, "torch" in sys.modules]))
"""


def test_importing_it_imports_no_library_and_changes_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [[], True, False, False]


def test_every_public_name_is_there_and_described() -> None:
    assert sorted(internvl_batch.__all__) == internvl_batch.__all__
    assert set(internvl_batch.__all__) <= set(dir(internvl_batch))
    assert [
        name for name in internvl_batch.__all__ if not getattr(internvl_batch, name).__doc__
    ] == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(internvl_batch, "captoin")


def test_it_is_typed() -> None:
    assert (Path(internvl_batch.__file__).parent / "py.typed").is_file()
