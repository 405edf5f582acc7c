"""What rules and measures find of planted faults, and what of them is left in the exported training
data.

The whole loop over about 3,000 units whose faults are known (`testing.planted`), without a model:
their output is judged by rules, a reviewer who is always right marks what the rules want looked at,
and what is kept is exported. There is a record for each rule and for the export. ``expected`` and
``got`` of a rule are the units with its fault, and those of them that it holds for; its
``precision`` is the share of the units it holds for that have any planted fault. The rival looks at
nothing: it takes as many units at random.

    python -m benchmarks.bench_quality
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from benchmarks.records import record, write
from internvl_ops.media.blank import is_blank
from internvl_ops.media.picture_stats import picture_stats
from internvl_ops.replies import BLANK
from internvl_ops.tasks import TEXT, caption, ground, several
from pipelines import columns as c
from pipelines.commands.export import export
from pipelines.commands.filter import filter_output
from pipelines.exports.options import ExportOptions
from pipelines.filtering.options import FilterOptions
from pipelines.output.folder import RESULTS, RUNS, OutputFolder
from pipelines.output.ownership import mark, parquet_name
from pipelines.output.result_columns import MEASURE_COLUMNS, own_columns, result_schema
from pipelines.output.reviews import ReviewSession
from pipelines.output.settings import METADATA_KEY
from testing.planted import Planted, planted

RUN = "20260101T000000-000001"
RIVAL = "as many units at random"
MIRRORED = "near_duplicate_images, mirrored"
# The rules, and the fault that each is for. All want a look, so that none hides a unit from
# another.
RULES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("loop", {"rule": "repetition"}),
    ("duplicate lines", {"rule": "duplicate_lines", "above": 0.3}),
    ("duplicate lines", {"rule": "duplicate_ngrams", "above": 0.3}),
    ("empty answer", {"name": "empty answer", "rule": "length", "below": 1}),
    ("long sentence", {"rule": "sentence_length", "above": 1000}),
    ("refusal", {"rule": "refusal"}),
    ("cut answer", {"rule": "finish_reason"}),
    ("other language", {"rule": "language", "allowed": ["en"]}),
    ("wrong box", {"rule": "boxes_outside"}),
    ("copy of a picture", {"rule": "duplicates", "of": ["image_hash"]}),
    ("copy of a picture", {"rule": "near_duplicate_images"}),
    (
        "copy of a picture",
        {"name": MIRRORED, "rule": "near_duplicate_images", "mirrored": True},
    ),
    ("copy of a text", {"rule": "near_duplicate_texts"}),
)
GUARD = "blank guard"


def make_output(folder: Path, units: Sequence[Planted]) -> OutputFolder:
    """An output as annotate_dataset.py leaves it with --media-stats and --blank skip."""
    task = several([caption(), ground(detect=True)])
    measures = pa.unify_schemas([MEASURE_COLUMNS["image", False], c.STATS])
    schema = result_schema(
        pa.schema([("image", pa.string())]),
        task,
        own_columns(task, TEXT.columns(task.columns), measures),
    )
    told = {
        "task": task.name,
        "prompt": task.prompt,
        "model": "none",
        "tasks": "caption,ground",
        "max_tiles": 6,
    }
    schema = schema.with_metadata(
        {**schema.metadata, METADATA_KEY: json.dumps(told).encode(), **mark(RUN)}
    )
    rows = [_row(f"{number:05}", unit) for number, unit in enumerate(units)]
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
    output = OutputFolder(str(folder))
    output.write_table(
        f"{RESULTS}/{parquet_name(RUN, 0)}", pa.Table.from_arrays(columns, schema=schema)
    )
    run = {"run_id": RUN, "status": "done", "configuration": {"input": str(folder)}}
    output.write_bytes(f"{RUNS}/{RUN}/run.json", json.dumps(run).encode())
    return output


def _row(unit_id: str, unit: Planted) -> dict[str, Any]:
    height, width = unit.picture.shape[:2]
    answer = {
        "response": unit.text,
        "caption": unit.text,
        "boxes": unit.boxes,
        "finish_reason": unit.finish_reason,
    }
    if is_blank(unit.picture):  # no model was asked
        answer = {"response": "", "caption": "", "boxes": [], "finish_reason": BLANK}
    counts = {
        "num_tiles": 1,
        "prompt_tokens": 300,
        "completion_tokens": len(unit.text.split()),
        "attempts": 1,
    }
    said = {
        "id": unit_id,
        "image": f"{unit_id}.png",
        "width": width,
        "height": height,
        "model": "none",
        "run_id": RUN,
    }
    return said | answer | counts | vars(picture_stats(unit.picture))


def judged(output: OutputFolder, folder: Path) -> dict[str, tuple[str, list[str]]]:
    """The verdict and the reasons of each unit, by the rules."""
    rules = folder / "rules.yaml"
    rules.write_text(yaml.safe_dump({"rules": [rule for _, rule in RULES]}))
    target = str(folder / "verdicts")
    filter_output(FilterOptions(input=output.uri, output=target, rules=str(rules)))
    there = OutputFolder(target)
    rows = [row for name in there.files(RESULTS) for row in there.read_table(name).to_pylist()]
    return {row["id"]: (row["verdict"], row["reasons"]) for row in rows}


def found_by(
    name: str, fault: str, units: Sequence[Planted], found: Iterable[int]
) -> dict[str, Any]:
    """The record of a rule or measure."""
    found = set(found)
    planted_ones = {number for number, unit in enumerate(units) if unit.fault == fault}
    hits = planted_ones & found
    kinds = Counter(units[number].kind for number in planted_ones)
    sound = Counter(units[number].kind for number in found if not units[number].fault)
    return record(
        f"{name}: {fault}",
        "share found",
        len(hits) / len(planted_ones),
        rival_name=RIVAL,
        rival=len(found) / len(units) or None,
        expected=len(planted_ones),
        got=len(hits),
        held=len(found),
        precision=None if not found else round(1 - sum(sound.values()) / len(found), 4),
        found_by_kind={
            kind: f"{sum(units[n].kind == kind for n in hits)} of {kinds[kind]}"
            for kind in sorted(kinds)
        },
        sound_taken=dict(sorted(sound.items())),
    )


def exported(folder: Path, output: OutputFolder, name: str, **options: Any) -> list[int]:
    """Numbers of the units in the training data."""
    target = folder / name
    export(
        ExportOptions.model_validate(
            {"input": output.uri, "output": str(target), "to": "sft"} | options
        )
    )
    lines = [
        line for path in sorted(target.rglob("*.jsonl")) for line in path.read_text().splitlines()
    ]
    return sorted(
        {int(json.loads(line)["id"].partition("#")[0].partition("/")[0]) for line in lines}
    )


def loop(units: Sequence[Planted], folder: Path) -> list[dict[str, Any]]:
    """Filters, reviews and exports; returns the records."""
    output = make_output(folder / "out", units)
    verdicts = judged(output, folder)
    assert len(verdicts) == len(units), "every unit has a verdict"
    records = [
        found_by(
            GUARD,
            "blank page",
            units,
            (n for n, unit in enumerate(units) if is_blank(unit.picture)),
        )
    ]
    for fault, rule in RULES:
        title = rule.get("name") or rule["rule"]
        holding = (int(unit_id) for unit_id, (_, reasons) in verdicts.items() if title in reasons)
        records.append(found_by(title, fault, units, holding))
    looked_at = sorted(
        int(unit_id) for unit_id, (verdict, _) in verdicts.items() if verdict == "review"
    )
    session = ReviewSession(output, "always right")
    for number in looked_at:
        session.add(f"{number:05}", "bad" if units[number].fault else "good")
    told: dict[str, dict[str, Any]] = {
        "exported as it is": {},
        "exported: what no rule holds for": {"verdicts": str(folder / "verdicts")},
        "exported after a review": {"verdicts": str(folder / "verdicts"), "reviews": True},
    }
    for name, options in told.items():
        records.append(
            _left(
                name,
                units,
                exported(folder, output, name.replace(" ", "-"), **options),
                len(looked_at),
            )
        )
    return records


def _left(
    name: str, units: Sequence[Planted], kept: Sequence[int], looked_at: int
) -> dict[str, Any]:
    sound = sum(not unit.fault for unit in units)
    faults = Counter(units[number].fault for number in kept if units[number].fault)
    kept_sound = len(kept) - faults.total()
    return record(
        name,
        "share with a fault",
        faults.total() / len(kept),
        rival_name="the output as it is",
        rival=(len(units) - sound) / len(units),
        expected=sound,
        got=kept_sound,
        less_is_better=True,
        units=len(kept),
        looked_at=looked_at,
        left=dict(sorted(faults.items())),
    )


def main() -> int:
    units = planted()
    with tempfile.TemporaryDirectory() as scratch:
        records = loop(units, Path(scratch))
    for one in records:
        print(
            json.dumps(
                {name: value for name, value in one.items() if name != "machine"},
                ensure_ascii=False,
            )
        )
    write("quality", records)
    return 0


if __name__ == "__main__":
    sys.exit(main())
