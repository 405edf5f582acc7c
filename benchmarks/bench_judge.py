"""What `score --judge agreement` and a rule find of wrong captions and swapped pictures.

A whole job judges captions of drawn pictures whose faults are known (`testing.judged_captions`).
The judge is a server that looks at each picture by nano-InternVL. `filter` then takes the units
with a score below the card's limit of 7. ``expected`` and ``got`` are the units with a fault, and
those of them that the rule takes; ``precision`` is the share of the units that it takes that have
any fault. The rival looks at nothing: it takes as many units at random.

    python -m benchmarks.bench_judge
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import yaml
from PIL import Image

from benchmarks.records import record, write
from testing.judged_captions import SOUND, Captioned, SeeingJudge, captioned
from testing.model_server import ModelServer

EACH, UNITS = 60, 300
LIMIT = 7  # of the InternVL 2.5 card
RIVAL = "as many units at random"
Run = Callable[[str, Sequence[str]], None]  # a script in jobs/, and its arguments


def judged(units: Sequence[Captioned], folder: Path, run: Run) -> list[tuple[float, float, str]]:
    """Score, mean score and verdict of each unit, by whole jobs.

    Args:
        units: Pictures and captions.
        folder: Where pictures and outputs go.
        run: Runs a job.
    """
    (folder / "pictures").mkdir(parents=True)
    rows = []
    for number, unit in enumerate(units):
        name = f"pictures/{number:04}.png"
        Image.fromarray(unit.picture).save(folder / name)
        rows.append({"id": f"{number:04}", "image": name, "caption": unit.caption})
    manifest, out, verdicts = folder / "captions.parquet", folder / "scores", folder / "verdicts"
    pq.write_table(pa.Table.from_pylist(rows), manifest)
    with ModelServer() as server:
        server.otherwise = SeeingJudge()
        run(
            "score_dataset.py",
            ["--input", str(manifest), "--output", str(out), "--judge", "agreement", "--engine",
             "openai", "--base-url", server.url, "--model", "tiny", "--retries", "0"],
        )  # fmt: skip
    rules = folder / "rules.yaml"
    rules.write_text(yaml.safe_dump({"rules": [{"name": "low", "where": f"score_mean < {LIMIT}"}]}))
    run(
        "filter_dataset.py",
        ["--input", str(out), "--output", str(verdicts), "--rules", str(rules)],
    )
    scores, kept = (
        {row["id"]: row for row in ds.dataset(part / "results").to_table().to_pylist()}
        for part in (out, verdicts)
    )
    ids = [row["id"] for row in rows]
    assert set(scores) == set(kept) == set(ids), "every unit has a score and a verdict"
    return [(scores[one]["score"], scores[one]["score_mean"], kept[one]["verdict"]) for one in ids]


def records(
    units: Sequence[Captioned], found: Sequence[tuple[float, float, str]]
) -> list[dict[str, Any]]:
    """A record for each fault, and one for all of them."""
    taken = [
        unit.fault for unit, (*_, verdict) in zip(units, found, strict=True) if verdict != "keep"
    ]
    counts, held = Counter(unit.fault for unit in units), Counter(taken)
    faults = [fault for fault in counts if fault != SOUND]
    precision = round(1 - held[SOUND] / max(1, len(taken)), 4)
    all_of_them = {"any fault": faults} | {fault: [fault] for fault in faults}
    return [
        record(
            name,
            "share found",
            sum(held[fault] for fault in some) / sum(counts[fault] for fault in some),
            rival_name=RIVAL,
            rival=len(taken) / len(units) or None,
            expected=sum(counts[fault] for fault in some),
            got=sum(held[fault] for fault in some),
            precision=precision,
            sound=counts[SOUND],
            sound_taken=held[SOUND],
        )
        for name, some in all_of_them.items()
    ]


def _run(script: str, arguments: Sequence[str]) -> None:
    subprocess.run([sys.executable, f"jobs/{script}", *arguments], check=True)


def main() -> int:
    units = captioned(EACH, sound=UNITS)
    with tempfile.TemporaryDirectory() as scratch:
        found = judged(units, Path(scratch), _run)
    made = records(units, found)
    for one in made:
        print(one["name"], one["got"], "of", one["expected"], "precision", one["precision"])
    write("judge", made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
