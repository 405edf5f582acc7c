"""The family's scores from its own authors: the tables in the model cards of InternVL2-1B and InternVL-Chat-V1-5.

DocVQA, InfoVQA, ChartQA, TextVQA, MME and MMBench were measured with InternVL's own scripts, OCRBench with VLMEvalKit.
"""

from __future__ import annotations

from dataclasses import dataclass

V1_5 = "InternVL-Chat-V1-5"
MINI_2B, MINI_4B = "Mini-InternVL-Chat-2B-V1-5", "Mini-InternVL-Chat-4B-V1-5"
V2_1B = "InternVL2-1B"


@dataclass(frozen=True)
class Published:
    """A published table.

    Attributes:
        columns: Named as in `Figures.table`.
        models: One figure per column for each model; None if none was published.
    """

    columns: tuple[str, ...]
    models: dict[str, tuple[float | None, ...]]


PUBLISHED: dict[str, Published] = {
    "refcoco": Published(
        ("avg.", "RefCOCO val", "RefCOCO testA", "RefCOCO testB", "RefCOCO+ val", "RefCOCO+ testA", "RefCOCO+ testB",
         "RefCOCOg val", "RefCOCOg test"),
        {
            MINI_2B: (75.8, 80.7, 86.7, 72.9, 72.5, 82.3, 60.8, 75.6, 74.9),
            MINI_4B: (84.4, 88.0, 91.4, 83.5, 81.5, 87.4, 73.8, 84.7, 84.6),
            V1_5: (88.8, 91.4, 93.7, 87.1, 87.0, 92.3, 80.9, 88.5, 89.3),
            V2_1B: (79.9, 83.6, 88.7, 79.8, 76.0, 83.6, 67.7, 80.2, 79.9),
            "InternVL2-2B": (77.7, 82.3, 88.2, 75.9, 73.5, 82.8, 63.3, 77.6, 78.3),
            "InternVL2-4B": (84.4, 88.5, 91.2, 83.9, 81.2, 87.2, 73.8, 84.6, 84.6),
            "InternVL2-8B": (82.9, 87.1, 91.1, 80.7, 79.8, 87.9, 71.4, 82.7, 82.7),
            "InternVL2-26B": (88.5, 91.2, 93.3, 87.4, 86.8, 91.0, 81.2, 88.5, 88.6),
            "InternVL2-40B": (90.3, 93.0, 94.7, 89.2, 88.5, 92.8, 83.6, 90.3, 90.6),
            "InternVL2-Llama3-76B": (90.0, 92.2, 94.8, 88.4, 88.8, 93.1, 82.8, 89.5, 90.3),
        },
    ),
    "docvqa": Published(
        ("DocVQA val", "DocVQA test"), {V1_5: (90.49, None), MINI_2B: (None, 85.0), V2_1B: (None, 81.7)}
    ),
    "infovqa": Published(
        ("InfoVQA val", "InfoVQA test"), {V1_5: (72.35, None), MINI_2B: (None, 55.4), V2_1B: (None, 50.9)}
    ),
    "chartqa": Published(
        ("ChartQA avg.", "ChartQA human", "ChartQA augmented"),
        {V1_5: (None, 73.6, 94.08), MINI_2B: (74.8, None, None), V2_1B: (72.9, None, None)},
    ),
    "textvqa": Published(("TextVQA val",), {V1_5: (80.61,), MINI_2B: (70.5,), V2_1B: (70.5,)}),
    "ocrbench": Published(("OCRBench",), {V1_5: (724,), MINI_2B: (654,), V2_1B: (754,)}),
    "mme": Published(("MME sum",), {V1_5: (2192,), MINI_2B: (1901.5,), V2_1B: (1794.4,)}),
    "mmbench": Published(("MMBench-EN test",), {MINI_2B: (70.9,), V2_1B: (65.4,)}),
    "mmbench_cn": Published(("MMBench-CN test",), {MINI_2B: (66.2,), V2_1B: (60.7,)}),
    "mvbench": Published(("MVBench",), {MINI_2B: (37.0,), V2_1B: (57.5,)}),
    "videomme": Published(
        ("Video-MME w/o subs", "Video-MME w subs"), {MINI_2B: (42.9, 44.7), V2_1B: (42.6, 44.7)}
    ),
}  # fmt: skip


def beside_published(name: str, model: str, table: dict[str, float]) -> str:
    """A Markdown table with this model's figures, and below them the family's published ones.

    Args:
        name: Name of the benchmark.
        model: The evaluated model.
        table: Its figures by column.
    """
    published = PUBLISHED.get(name, Published((), {}))
    columns = [*table, *(column for column in published.columns if column not in table)]
    columns.sort(key=lambda column: _place(published, column))
    rows: dict[str, dict[str, float | None]] = {f"**{model}**, here": dict(table)}
    for other, figures in published.models.items():
        rows[other] = dict(zip(published.columns, figures, strict=True))
    lines = [f"| model | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for title, values in rows.items():
        lines.append(f"| {title} | {' | '.join(_shown(values.get(column)) for column in columns)} |")
    return "\n".join(lines)


def _place(published: Published, column: str) -> int:
    """Sort key: published columns in their order, before all others."""
    return published.columns.index(column) if column in published.columns else -1


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    text = f"{value:.1f}"
    return text.removesuffix(".0") if value >= 200 else text
