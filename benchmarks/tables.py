"""Writes tables of README and docs, from benchmarks/results/*.json and from the code: python -m
benchmarks.tables"""

from __future__ import annotations

import json
import re
from pathlib import Path

from internvl_ops.evaluation import benchmark_table, coverage
from internvl_ops.models.family import family_table
from internvl_ops.stores import store_table
from pipelines.commands.registry import COMMANDS
from pipelines.exports import counts as export_counts
from pipelines.exports import forms as export_forms
from pipelines.flags import in_flags
from pipelines.metrics import metrics_table
from pipelines.options.task_table import task_markdown

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
README, DOCS = ROOT / "README.md", ROOT / "docs"
START, END = "<!-- {}: made by python -m benchmarks.tables -->", "<!-- /{} -->"
# File -> heading; in the order of docs/benchmarks.md.
SECTIONS = {
    "pipeline": "Whole pipeline against ray.data.llm and vLLM alone (`make bench`)",
    "gpu": "Real shapes with dummy weights (`make bench-gpu`)",
    "tasks": "Three tasks over each image in one pass (`make bench-tasks`)",
    "parity": "Same prompt ids and greedy tokens as vLLM's own processor (`make bench-parity`)",
    "media": "Images (`make bench-media`)",
    "video": "Videos (`make bench-media`)",
    "document": "Documents (`make bench-media`)",
    "text_layers": "Text layers of PDFs (`make bench-text-layers`)",
    "embed": "Vectors (`make bench-embed`)",
    "fetch": "Object store with 50 ms a request (`make bench-media`)",
    "repetition": "Answers that repeat themselves (`make bench-repetition`)",
    "resume": "Ten million finished rows known again (`make bench-resume`)",
    "feed": "The pipeline against the same engine fed from memory (`make bench-feed`)",
    "scale": "Many engines, each a stand-in, on fake nodes (`make bench-scale`)",
    "batching": "Blocks, rows in flight and order, the engine a stand-in (`make bench-scale`)",
    "distance": "Tiles between nodes (`make bench-scale`)",
    "rows": "Manifests of many rows, the engine a stand-in (`make bench-rows`)",
    "exports": "Exports of many rows (`make bench-exports`)",
    "memory": "Memory over 5,000 rows (`make bench-memory`)",
}


# Records that the README names first: file, record, rival.
HIGHLIGHTS = [
    ("pipeline", "images end to end, light engine", "ray.data.llm"),
    ("pipeline", "CPU of the engine's front-end, light engine", "ray.data.llm"),
    ("pipeline", "images end to end, one vision layer", "ray.data.llm"),
    ("pipeline", "images end to end, one vision layer", "vLLM alone"),
    ("tasks", "three tasks in one pass", "three passes"),
    ("media", "jpeg_1536x1152_12_tiles", None),
    ("video", "h264_720p_8_of_600_against_raw", None),
    ("fetch", "s3_adding_50_ms_1536x1152", None),
    ("feed", "images end to end, engine on a core of its own", None),
    ("scale", "64 engines on 16 nodes, each 2 times slower", None),
    ("resume", "10,000,000 finished rows in 10,000 files, memory", None),
]


def table(records: list[dict]) -> str:
    """A Markdown table of benchmark records; a record without a rival shows its own figure only."""
    rows = [
        "| what | unit | here | rival | rival's | ratio | rows |",
        "|---|---|---:|---|---:|---:|---|",
    ]
    for record in records:
        rival = record.get("rival_name") or ""
        rows.append(
            f"| {record['name'].replace('_', ' ')} | {record['unit']} | {_number(record['ours'])} |"
            f" {rival} | {_number(record.get('rival'))} | {_number(record.get('ratio'))} |"
            f" {record.get('got')} of {record.get('expected')} |"
        )
    return "\n".join(rows)


def _number(value: float | int | None) -> str:
    return "" if value is None else f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def measured() -> str:
    """Every benchmark's records, folded."""
    parts = []
    for name, heading in SECTIONS.items():
        path = RESULTS / f"{name}.json"
        if not path.exists():
            continue
        records = json.loads(path.read_text())
        machines = sorted({record["machine"] for record in records})
        heading = heading.replace("`", "")
        parts.append(
            f"<details><summary>{heading}, on"
            f" {'; '.join(machines)}</summary>\n\n{table(records)}\n\n</details>"
        )
    return "\n\n".join(parts)


def commands() -> str:
    """The commands that work on a dataset, each linked to the page that its description names."""
    rows = ["| command | what it does |", "|---|---|"]
    for name, command in COMMANDS.items():
        if not command.example:
            continue
        page = re.search(r"docs/\w+\.md", command.description)
        rows.append(f"| {f'[`{name}`]({page[0]})' if page else f'`{name}`'} | {command.summary} |")
    return "\n".join(rows)


def highlights() -> str:
    """A few records, for the README."""
    records = [
        record
        for file, name, rival in HIGHLIGHTS
        for record in json.loads((RESULTS / f"{file}.json").read_text())
        if record["name"] == name and rival in (None, record["rival_name"])
    ]
    return table(records)


def accuracy() -> str:
    """nano-InternVL through the pipeline and in a plain loop, and what mistakes in the pipeline do
    to it."""
    found = json.loads((RESULTS / "accuracy.json").read_text())
    rows = ["| | aim | pipeline | plain loop | questions |", "|---|---:|---:|---:|---:|"]
    for name, title in FIGURES.items():
        one = found[name]
        aim = (
            f"{'at most' if name in ERRORS else 'at least'} {one['aim']:.0%}" if one["aim"] else ""
        )
        rows.append(
            f"| {title} | {aim} | {one['pipeline']:.1%} | {one['plain_loop']:.1%} | {one['n']} |"
        )
    broken = json.loads((RESULTS / "mutations.json").read_text())
    right = broken["mutations"]["none"]
    titles = " | ".join(FIGURES[name] for name in right)
    rows += [
        "",
        f"| mistake ({broken['n']} questions each) | {titles} |",
        "|---|" + "---:|" * len(right),
    ]
    for mistake, scores in broken["mutations"].items():
        cells = [_against(scores[name], right[name], name in ERRORS) for name in right]
        rows.append(f"| {mistake} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _against(score: float, right: float, is_error: bool) -> str:
    """Bold where it is clearly worse than without a mistake."""
    worse = score - right if is_error else right - score
    return f"**{score:.1%}**" if worse >= 0.1 else f"{score:.1%}"


ERRORS = ("ocr_cer", "ocr_cer_several_lines")  # of these less is better
FIGURES = {
    "caption_exact_match": "captions, exact",
    "ocr_cer": "lines over several tiles, wrong characters",
    "ocr_cer_several_lines": "texts of two to six such lines, wrong characters",
    "grounding_p50": "boxes, precision@0.5",
    "video_question_accuracy": "questions about clips",
}


def drawn_benchmarks() -> str:
    """The drawn benchmarks of `bench_evaluation`."""
    found = json.loads((RESULTS / "evaluation.json").read_text())
    machines = sorted({record["machine"] for record in found})
    return f"{table(found)}\n\nMeasured on {'; '.join(machines)}."


def scale() -> str:
    """Engines that one driver keeps busy."""
    rows = [
        "| | rows/s | of the ideal | cores busy | last rows take |",
        "|---|---:|---:|---:|---:|",
    ]
    for one in json.loads((RESULTS / "scale.json").read_text()):
        rows.append(
            f"| {one['name']} | {_number(one['ours'])} | {one['ours'] / one['rival']:.0%} |"
            f" {one['cores_busy']} | {one['tail_s']:.0f} s |"
        )
    return "\n".join(rows)


def planted_faults() -> str:
    """What rules find of planted faults, and what is left of them in the export."""
    records = json.loads((RESULTS / "quality.json").read_text())
    rules = [one for one in records if "held" in one]
    rows = [
        "| rule or measure | for | found | of what it holds for, with a fault | misses | sound"
        " units it takes |"
    ]
    rows.append("|---|---|---:|---:|---|---|")
    for one in rules:
        title, fault = one["name"].split(": ")
        kinds = [
            (kind, *map(int, text.split(" of "))) for kind, text in one["found_by_kind"].items()
        ]
        missed = ", ".join(
            f"{kind} {all_ - found} of {all_}" for kind, found, all_ in kinds if found < all_
        )
        taken = ", ".join(f"{kind} {count}" for kind, count in one["sound_taken"].items())
        share = "" if one["precision"] is None else f"{one['precision']:.1%}"
        rows.append(
            f"| {title} | {fault} | {one['got']} of {one['expected']} | {share} of {one['held']} |"
            f" {missed} | {taken} |"
        )
    rows += [
        "",
        "| | units | with a fault | sound units kept | faults left |",
        "|---|---:|---:|---:|---|",
    ]
    for one in records:
        if "held" in one:
            continue
        left = ", ".join(f"{fault} {count}" for fault, count in one["left"].items())
        rows.append(
            f"| {one['name']} | {one['units']:,} | {one['ours']:.1%} | {one['got']:,} of"
            f" {one['expected']:,} | {left} |"
        )
    return "\n".join(rows)


def planted_captions() -> str:
    """What a judge that sees the pictures finds of planted wrong captions."""
    rows = ["| fault | found | at random |", "|---|---:|---:|"]
    for one in json.loads((RESULTS / "judge.json").read_text()):
        by_chance = "" if one["rival"] is None else f"{one['rival']:.0%}"
        rows.append(f"| {one['name']} | {one['got']} of {one['expected']} | {by_chance} |")
        taken, sound = one["sound_taken"], one["sound"]
        precise = one["precision"]
    rows += [
        "",
        f"It takes {taken} of {sound} sound units; {precise:.1%} of what it takes has a fault.",
    ]
    return "\n".join(rows)


# What stands between two marks of each page.
BLOCKS = {
    README: {"commands": commands, "highlights": highlights},
    DOCS / "tasks.md": {"tasks": task_markdown},
    DOCS / "exports.md": {"forms": export_forms.table, "reasons": export_counts.reasons_table},
    DOCS / "stores.md": {"stores": store_table.markdown},
    DOCS / "models.md": {"family": lambda: in_flags(family_table.family_markdown())},
    DOCS / "evaluation.md": {
        "benchmarks": benchmark_table.benchmark_markdown,
        "drawn": drawn_benchmarks,
        "coverage": coverage.coverage_markdown,
    },
    DOCS / "metrics.md": {"metrics": metrics_table},
    DOCS / "quality.md": {"planted": planted_faults, "captions": planted_captions},
    DOCS / "benchmarks.md": {"scale": scale, "accuracy": accuracy, "tables": measured},
}


def up_to_date(page: Path) -> str:
    """A page with its tables made anew."""
    text = page.read_text()
    for name, make in BLOCKS[page].items():
        before, rest = text.split(START.format(name))
        after = rest.split(END.format(name))[1]
        text = f"{before}{START.format(name)}\n\n{make().strip()}\n\n{END.format(name)}{after}"
    return text


if __name__ == "__main__":
    for path in BLOCKS:
        path.write_text(up_to_date(path))
