"""What every benchmark writes: a list of records in ``benchmarks/results/NAME.json``."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def machine() -> str:
    """What the figures were measured on: processor, cores, memory, Python. No name of a host."""
    cpuinfo, meminfo = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    models = [
        line.split(":")[1].strip() for line in _lines(cpuinfo) if line.startswith("model name")
    ]
    kib = [int(line.split()[1]) for line in _lines(meminfo) if line.startswith("MemTotal")]
    parts = [models[0] if models else platform.machine(), f"{len(os.sched_getaffinity(0))} cores"]
    parts += [f"{round(kib[0] / 2**20)} GiB"] if kib else []
    return ", ".join([*parts, f"Python {platform.python_version()}"])


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def record(
    name: str,
    unit: str,
    ours: float,
    *,
    rival_name: str,
    rival: float | None,
    expected: int,
    got: int,
    less_is_better: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """One measurement.

    Args:
        name: What was measured.
        unit: Of ``ours`` and ``rival``.
        ours: This project's figure.
        rival_name: What it is measured against.
        rival: Its figure, if there is one.
        expected: Exact count, of rows or tokens, that the measured run had to give.
        got: What it gave.
        less_is_better: Turns the ratio round, so that more of it is better for ours in every
            record.
        more: Further fields.
    """
    ratio = None
    if rival is not None:
        ratio = round(rival / ours if less_is_better else ours / rival, 2)
    return {
        "name": name,
        "unit": unit,
        "ours": _short(ours),
        "rival_name": rival_name,
        "rival": None if rival is None else _short(rival),
        "ratio": ratio,
        "expected": expected,
        "got": got,
        **more,
        "machine": machine(),
    }


def _short(value: float) -> float:
    """Four significant digits: more would be noise."""
    return value if isinstance(value, int) else float(f"{value:.4g}")


def write(name: str, records: list[dict[str, Any]], *, part: bool = False) -> list[str]:
    """Writes ``results/NAME.json``.

    Args:
        name: Of the benchmark.
        records: Measured.
        part: Records of other names stay as they are in the file, those of the same name in their
            places.

    Returns:
        The names of the records whose exact count is not what it had to be.
    """
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    if part and path.exists():
        mine = {entry["name"]: entry for entry in records}
        before = json.loads(path.read_text())
        records = [mine.pop(entry["name"], entry) for entry in before] + list(mine.values())
    path.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n")
    return [entry["name"] for entry in records if entry["expected"] != entry["got"]]
