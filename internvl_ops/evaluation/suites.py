"""Sets of benchmarks that are run together: those of a published table."""

from __future__ import annotations

import re
from typing import Literal, get_args

from internvl_ops.evaluation.declarations import Name
from internvl_ops.evaluation.published import PUBLISHED, decimals

SuiteName = Literal["internvl2", "internvl2-more"]
_CARD: tuple[Name, ...] = ("docvqa", "chartqa", "infovqa", "textvqa", "ocrbench", "mme",
                           "realworldqa", "ai2d", "mmmu", "mmbench", "mmbench_cn", "ccbench",
                           "mmvet", "seed", "hallusionbench", "mathvista", "mvbench",
                           "mmbench_video", "videomme", "refcoco")  # fmt: skip
# The benchmarks of the model cards of InternVL2, in their order; and with those that only the
# documentation has.
SUITES: dict[SuiteName, tuple[Name, ...]] = {
    "internvl2": _CARD,
    "internvl2-more": (*_CARD, "okvqa", "gqa", "vizwiz", "vqav2", "scienceqa", "pope", "mmvp"),
}
assert tuple(SUITES) == get_args(SuiteName)
PUBLISHED_MODELS = tuple(
    dict.fromkeys(model for table in PUBLISHED.values() for model in table.models)
)


def published_model(model: str) -> str | None:
    """The published checkpoint that a name or path names; None if there is none.

    >>> published_model("OpenGVLab/InternVL2-8B")
    'InternVL2-8B'
    """
    # a path in the hub's cache ends in a revision
    for folder in reversed(model.lower().split("/")):
        found = [
            one
            for one in PUBLISHED_MODELS
            if re.search(rf"(^|--){re.escape(one.lower())}$", folder)
        ]
        if found:
            return found[0]
    return None


def published_figures(name: str, model: str | None) -> dict[str, float]:
    """The published figures of a model in a benchmark by column; empty if there are none."""
    table = PUBLISHED.get(name)
    if table is None or model not in table.models:
        return {}
    figures = zip(table.columns, table.models[model], strict=True)
    return {column: figure for column, figure in figures if figure is not None}


def suite_markdown(
    suite: SuiteName,
    figures: dict[str, dict[str, float]],
    not_run: dict[str, str],
    model: str | None,
) -> str:
    """A Markdown table: what was measured, what is published, and the difference.

    Args:
        suite: The suite, which gives the order.
        figures: Of each benchmark that was run, its figures by column.
        not_run: Of each benchmark that was not run, why.
        model: The published checkpoint to compare with; None for none.
    """
    title = f"published, {model}" if model else "published"
    lines = [f"| benchmark | figure | here | {title} | difference |", "|---|---|---:|---:|---:|"]
    for name in SUITES[suite]:
        if name in not_run:
            lines.append(f"| `{name}` | {not_run[name]} | | | |")
        table, published = figures.get(name, {}), published_figures(name, model)
        places = decimals(name)
        for column in [column for column in table if column in published] or list(table)[:1]:
            here, there = table[column], published.get(column)
            difference = "" if there is None else f"{here - there:+.{places}f}"
            lines.append(
                f"| `{name}` | {column} | {_shown(here, places)} | {_shown(there, places)} |"
                f" {difference} |"
            )
    return "\n".join(lines)


def _shown(value: float | None, places: int) -> str:
    return "" if value is None else f"{value:.{places}f}"
