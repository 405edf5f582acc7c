"""Labels, and how they compare with the truth where the manifest has it."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from internvl_ops.evaluation.vector_benchmarks import ZERO_SHOT
from internvl_ops.metrics.labels import label_figures
from internvl_ops.stores.redaction import safe_uri
from pipelines.commands.job import run_job
from pipelines.commands.judging import plan_texts
from pipelines.options.command_line import Mode
from pipelines.options.label_files import carried_name, read_labels, true_labels
from pipelines.output.folder import ERRORS, EVALUATION, RESULTS, RUNS, OutputFolder
from pipelines.output.side_files import write_side_file
from pipelines.sources import SourcePlan

FIGURES = f"{EVALUATION}/classify.json"
_MOST_SHOWN = 12  # labels of a confusion table that is printed


def run(options: Any, mode: Mode) -> NoReturn:
    """Runs the job; with ``--truth-column``, prints and writes figures at the end."""
    closing = compare if options.truth_column is not None else None
    run_job(options, mode, type(options).make_task, make_plan=plan_texts, closing=closing)


def run_vectors(options: Any, mode: Mode) -> NoReturn:
    """Runs a job of vectors; with ``--truth-column``, prints and writes figures about its labels at
    the end."""
    closing = compare if options.truth_column is not None else None
    run_job(options, mode, type(options).make_task, closing=closing)


def compare(options: Any, plan: SourcePlan) -> str:
    """Compares all results of the output with the truth and writes ``evaluation/classify.json``.

    Returns:
        The text that the job prints.
    """
    if options.truth_column not in plan.schema.names:  # it belongs to --calibrate alone
        return ""
    several = getattr(options, "multi", False)  # a job of vectors has one label a unit
    output = OutputFolder(options.output)
    labels = list(read_labels(options.labels, options.taxonomy))
    rows, untold = [], 0
    for name in output.files(RESULTS):
        schema = output.read_schema(name)
        truth = carried_name(options.truth_column, schema.names)
        for row in output.read_table(name, [truth, "label", "labels"]).to_pylist():
            known = true_labels(row[truth], several=several)
            if known is None:
                untold += 1
            else:
                chances = {one["label"]: one["probability"] for one in row["labels"] or []}
                rows.append((known, row["label"], chances))
    figures = label_figures(labels, rows, several=several)
    figures |= {
        "without_truth": untold,
        "failed": sum(len(output.read_table(name, ["id"])) for name in output.files(ERRORS)),
    }
    run_id = max(
        (name for name in output.list_names(RUNS) if not name.startswith(".")), default="run"
    )
    text = json.dumps(figures, indent=1, ensure_ascii=False).encode()
    written = write_side_file(output, FIGURES, text, run_id, beside=True)
    said = figures_in_words(figures)
    if named := getattr(options, "benchmark", None):
        said = f"{said}\n{ZERO_SHOT[named].beside(figures)}".rstrip()
    return f"\n{said}\n\n  figures   {safe_uri(output.uri)}/{written}"


def figures_in_words(figures: dict[str, Any]) -> str:
    """The figures for a terminal."""
    counted = {"without_truth": "without a truth", "failed": "failed"}
    others = "".join(
        f", {figures[name]:,} {what}" for name, what in counted.items() if figures[name]
    )
    lines = [f"{figures['rows']:,} units with a truth{others}."]
    if not figures["rows"]:
        return lines[0]
    lines[0] += f" Right: {figures['accuracy']:.1%}. Log loss: {figures['log_loss']:.3f}."
    if "top5" in figures:
        both = (figures["accuracy"] + figures["top5"]) / 2
        lines[0] += f" Among the first five: {figures['top5']:.1%}; mean of both: {both:.1%}."
    width = max(len(name) for name in ["label", *figures["labels"]])
    lines.append(f"  {'label':{width}}  {'true':>7}  {'given':>7}  precision  recall")
    for name, one in figures["labels"].items():
        shares = [
            ("–" if one[what] is None else f"{one[what]:.1%}") for what in ("precision", "recall")
        ]
        lines.append(
            f"  {name:{width}}  {one['true']:7,}  {one['given']:7,}  {shares[0]:>9}  {shares[1]:>6}"
        )
    names = list(figures["labels"])
    if "confusion" in figures and len(names) <= _MOST_SHOWN:
        lines += [
            "",
            (
                "  true below, given to the right:"
                f" {', '.join(f'{n} {name}' for n, name in enumerate(names, 1))}"
            ),
        ]
        lines.append("  " + " " * width + "".join(f"{n:>8}" for n in range(1, len(names) + 1)))
        for name in names:
            counts = figures["confusion"].get(name, {})
            lines.append(
                f"  {name:{width}}" + "".join(f"{counts.get(other, 0):8,}" for other in names)
            )
    return "\n".join(lines)
