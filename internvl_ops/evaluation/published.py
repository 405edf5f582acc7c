"""The family's scores from its own authors: the tables in the model cards of InternVL2-1B and
InternVL-Chat-V1-5, and the evaluation pages of the InternVL documentation for the other
checkpoints; of videos, the tables of all cards of InternVL2. Of InternVL2.5, whose cards show their
tables as pictures, it has the figures that an earlier text of the cards had.

OCRBench, RealWorldQA, MMMU, HallusionBench, MathVista, MMBench-Video and Video-MME were measured
with VLMEvalKit, the others with InternVL's own scripts; so was MMMU of V1.2. Where a card and the
documentation differ by a few tenths, the card counts.
"""

from __future__ import annotations

from dataclasses import dataclass

V1_1, V1_2, V1_2_PLUS = "InternVL-Chat-V1-1", "InternVL-Chat-V1-2", "InternVL-Chat-V1-2-Plus"
V1_5 = "InternVL-Chat-V1-5"
MINI_2B, MINI_4B = "Mini-InternVL-Chat-2B-V1-5", "Mini-InternVL-Chat-4B-V1-5"
SIZES = ("InternVL2-1B", "InternVL2-2B", "InternVL2-4B", "InternVL2-8B", "InternVL2-26B",
         "InternVL2-40B", "InternVL2-Llama3-76B")  # fmt: skip
V2_1B = SIZES[0]
V2_5_1B, V2_5_2B, V2_5_4B, V2_5_8B = (
    "InternVL2_5-1B",
    "InternVL2_5-2B",
    "InternVL2_5-4B",
    "InternVL2_5-8B",
)
V2_5_26B, V2_5_78B = "InternVL2_5-26B", "InternVL2_5-78B"
_Figures = tuple[float | None, ...]


@dataclass(frozen=True)
class Published:
    """A published table.

    Attributes:
        columns: Named as in `Figures.table`.
        models: One figure per column for each model; None if none was published.
        decimals: To how many places figures are published.
    """

    columns: tuple[str, ...]
    models: dict[str, tuple[float | None, ...]]
    decimals: int = 1


def _one(
    column: str, sizes: _Figures, later: dict[str, float] | None = None, **earlier: float
) -> Published:
    """One column: checkpoints before InternVL2 by the names of their constants, InternVL2 by size,
    and later ones."""
    names = {"v1_1": V1_1, "v1_2": V1_2, "v1_2_plus": V1_2_PLUS, "v1_5": V1_5, "mini_2b": MINI_2B}
    models: dict[str, _Figures] = {
        name: (earlier[key],) for key, name in names.items() if key in earlier
    }
    models |= {
        size: (figure,) for size, figure in zip(SIZES, sizes, strict=True) if figure is not None
    }
    return Published(
        (column,), models | {name: (figure,) for name, figure in (later or {}).items()}
    )


def _several(
    columns: tuple[str, ...],
    sizes: tuple[_Figures, ...],
    earlier: dict[str, _Figures],
    later: dict[str, _Figures] | None = None,
) -> Published:
    """Several columns: checkpoints before InternVL2, InternVL2 by size, and later ones."""
    return Published(columns, earlier | dict(zip(SIZES, sizes, strict=False)) | (later or {}))


PUBLISHED: dict[str, Published] = {
    "refcoco": Published(
        ("avg.", "RefCOCO val", "RefCOCO testA", "RefCOCO testB", "RefCOCO+ val", "RefCOCO+ testA",
         "RefCOCO+ testB", "RefCOCOg val", "RefCOCOg test"),
        {
            V1_1: (81.2, 84.7, 89.9, 78.6, 78.5, 85.6, 70.1, 81.0, 81.4),
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
    "docvqa": _several(
        ("DocVQA val", "DocVQA test"),
        ((79.99, 81.7), (85.90, 86.9), (88.09, 89.2), (90.81, 91.6), (92.12, 92.9), (93.73, 93.9),
         (94.17, 94.1)),
        {V1_1: (47.6, 48.1), V1_5: (90.49, 90.9), MINI_2B: (None, 85.0)},
        {V2_5_1B: (None, 84.8), V2_5_2B: (None, 88.7), V2_5_8B: (None, 93.0),
         V2_5_78B: (None, 95.1)},
    ),
    "infovqa": _several(
        ("InfoVQA val", "InfoVQA test"),
        ((50.18, 50.9), (57.66, 58.9), (66.25, 67.0), (72.60, 74.8), (76.01, 75.9), (78.51, 78.7),
         (80.21, 82.0)),
        {V1_1: (33.34, 32.0), V1_5: (72.35, 72.5), MINI_2B: (None, 55.4)},
        {V2_5_8B: (None, 77.6), V2_5_78B: (None, 84.1)},
    ),
    "chartqa": _several(
        ("ChartQA avg.", "ChartQA human", "ChartQA augmented"),
        ((72.9, 53.92, 91.84), (76.24, 59.52, 92.96), (81.48, 69.92, 93.04), (83.28, 72.88, 93.68),
         (84.88, 75.28, 94.48), (86.2, 77.2, 95.2), (88.4, 81.6, 95.2)),
        {V1_1: (59.9, 40.34, 79.5), V1_5: (83.8, 73.6, 94.08), MINI_2B: (74.8, None, None)},
        {V2_5_1B: (75.9, None, None), V2_5_2B: (79.2, None, None), V2_5_8B: (84.8, None, None),
         V2_5_78B: (88.3, None, None)},
    ),
    "textvqa": _one("TextVQA val", (70.5, 73.36, 74.37, 77.37, 82.28, 83.02, 84.41),
                    {V2_5_1B: 72.0, V2_5_2B: 74.3, V2_5_8B: 79.1, V2_5_78B: 83.4}, v1_1=64.2,
                    v1_5=80.61, mini_2b=70.5),
    "vizwiz": _one("VizWiz val", (53.07, 47.38, 62.21, 62.91, 68.39, 65.22, 67.67), v1_1=59.0,
                   v1_5=63.54),
    "vqav2": Published(("VQAv2 testdev",), {V1_1: (80.9,)}),
    "okvqa": _one("OKVQA val", (48.51, 53.16, 60.08, 62.90, 65.95, 66.43, 68.34), v1_1=64.06,
                  v1_5=62.03),
    "gqa": _one("GQA testdev", (59.77, 61.03, 62.07, 63.23, 64.89, 64.89, 65.22), v1_1=62.46,
                v1_5=65.76),
    "ocrbench": _one("OCRBench", (754, 784, 788, 794, 825, 837, 839),
                     {V2_5_78B: 854}, v1_1=530, v1_5=724, mini_2b=654),
    "mme": _one("MME sum", (1794.4, 1876.8, 2064.1, 2210.3, 2260.7, 2315.0, 2414.7), v1_1=2025.2,
                v1_5=2192, mini_2b=1901.5),
    "mmbench": _several(
        ("MMBench-EN dev", "MMBench-EN test"),
        tuple((None, figure) for figure in (65.4, 73.2, 78.6, 81.7, 83.4, 86.8, 86.5)),
        {V1_1: (76.7, 75.4), V1_2: (None, 82.3), V1_2_PLUS: (None, 83.8), V1_5: (80.8, 82.2),
         MINI_2B: (None, 70.9)},
    ),
    "mmbench_cn": _several(
        ("MMBench-CN dev", "MMBench-CN test"),
        tuple((None, figure) for figure in (60.7, 70.9, 73.9, 81.2, 82.0, 86.5, 86.3)),
        {V1_1: (71.9, 70.3), V1_5: (80.3, 82.0), MINI_2B: (None, 66.2)},
    ),
    "ccbench": _one("CCBench dev", (75.7, 74.7, 66.5, 75.9, 73.5, 80.6, 81.0), v1_1=43.3, v1_5=70.0,
                    mini_2b=63.5),
    "ai2d": _one("AI2D test", (64.1, 74.09, 78.89, 83.78, 84.46, 87.11, 87.63),
                 {V2_5_1B: 69.3, V2_5_2B: 74.9, V2_5_8B: 84.5, V2_5_78B: 89.1}, v1_1=72.40,
                 v1_5=80.73, mini_2b=69.8),
    "seed": _one("SEED-Image", (65.6, 71.55, 73.67, 76.15, 76.79, 78.15, 78.17), v1_1=73.24,
                 v1_5=75.99, mini_2b=69.8),
    "realworldqa": _one("RealWorldQA", (50.3, 57.25, 60.65, 64.4, 68.37, 71.8, 72.2), v1_5=66.0,
                        mini_2b=57.9),
    "mmmu": _one("MMMU val", (36.7, 36.3, 47.9, 51.8, 51.2, 55.2, 58.2),
                 {V2_5_1B: 40.9, V2_5_2B: 43.6, V2_5_8B: 56.0}, v1_1=40.2, v1_2=51.6, v1_5=46.8,
                 mini_2b=37.4),
    "scienceqa": Published(("ScienceQA test",), {V1_1: (90.13,), V1_5: (94.05,)}),
    "mmvp": _one("MMVP", (20.0, 35.33, 40.67, 51.33, 54.67, 58.67, 52.67), v1_1=44.67,
                 v1_2_plus=58.7, v1_5=59.33),
    "pope": _one("POPE", (87.3, 88.3, 87.2, 86.9, 88.0, 88.4, 89.0), v1_1=87.1, v1_5=88.3),
    "hallusionbench": _several(
        ("HallBench avg", "HallBench aAcc", "HallBench fAcc", "HallBench qAcc"),
        ((34.0, 54.36, 23.99, 21.98), (37.9, 58.36, 26.59, 28.79), (41.9, 61.09, 32.37, 32.31),
         (45.2, 64.04, 35.84, 35.82), (50.7, 67.30, 43.64, 41.10), (56.9, 71.40, 51.73, 47.69),
         (55.2, 71.19, 48.27, 46.15)),
        {V1_1: (36.1, 56.26, 26.01, 26.15), V1_5: (49.3, 66.77, 40.17, 40.88),
         MINI_2B: (37.5, None, None, None)},
    ),
    "mmvet": _several(
        ("MMVet GPT-4-0613", "MMVet GPT-4-Turbo"),
        ((37.8, 32.7), (44.6, 39.5), (55.7, 51.0), (60.0, 54.2), (64.2, 62.1), (68.5, 65.5),
         (69.8, 65.7)),
        {V1_1: (46.7, None), V1_5: (62.8, 55.4), MINI_2B: (39.3, 35.5)},
    ),
    "mathvista": _one("MathVista testmini", (37.7, 46.4, 58.7, 58.3, 59.4, 63.7, 65.5),
                      {V2_5_1B: 43.2, V2_5_2B: 51.3, V2_5_8B: 64.4, V2_5_78B: 72.3}, v1_1=36.3,
                      v1_5=53.5, mini_2b=41.1),
    "mvbench": _one("MVBench", (57.5, 60.2, 63.7, 66.4, 67.5, 72.5, 69.6),
                    {V2_5_1B: 64.3, V2_5_2B: 68.8, V2_5_4B: 71.6, V2_5_8B: 72.0, V2_5_26B: 75.2},
                    v1_1=48.95, v1_5=52.13, mini_2b=37.0),
    "mmbench_video": Published(
        ("MMBench-Video 16f", "MMBench-Video 8f", "MMBench-Video"),
        {V1_5: (1.31, 1.26, None), MINI_2B: (1.04, 0.99, None),
         **dict(zip(SIZES, ((0.98, 0.95, None), (1.03, 0.97, None), (1.18, 1.10, None),
                            (1.28, 1.19, None), (1.41, 1.27, None), (1.45, 1.32, None),
                            (1.52, 1.37, None)), strict=True)),
         V2_5_1B: (None, None, 1.36), V2_5_2B: (None, None, 1.44), V2_5_4B: (None, None, 1.73),
         V2_5_8B: (None, None, 1.68), V2_5_26B: (None, None, 1.86)},
        decimals=2,
    ),
    "videomme": _several(
        ("Video-MME w/o subs", "Video-MME w subs"),
        ((42.6, 44.7), (45.0, 47.3), (51.4, 53.4), (54.0, 56.9), (54.8, 57.1), (61.2, 62.4),
         (61.2, 62.8)),
        {V1_5: (53.6, 54.5), MINI_2B: (42.9, 44.7)},
        {V2_5_1B: (50.3, 52.3), V2_5_2B: (51.9, 54.1), V2_5_4B: (62.3, 63.6), V2_5_8B: (64.2, 66.9),
         V2_5_26B: (66.9, 69.2)},
    ),
    "omnidocbench": Published(  # of version 1.5, by its authors
        ("Text edit", "Formula CDM", "Table TEDS", "Table TEDS-S", "Read order edit", "Overall"),
        {"InternVL3-78B": (0.131, 83.42, 70.64, 77.74, 0.113, 80.33),
         "InternVL3.5-241B": (0.142, 87.23, 75.00, 81.28, 0.125, 82.67)},
        decimals=3,
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
    places = decimals(name)
    columns = [*table, *(column for column in published.columns if column not in table)]
    columns.sort(key=lambda column: _place(published, column))
    rows: dict[str, dict[str, float | None]] = {f"**{model}**, here": dict(table)}
    for other, figures in published.models.items():
        rows[other] = dict(zip(published.columns, figures, strict=True))
    lines = [f"| model | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for title, values in rows.items():
        lines.append(
            f"| {title} | {' | '.join(_shown(values.get(column), places) for column in columns)} |"
        )
    return "\n".join(lines)


def decimals(name: str) -> int:
    """To how many places the figures of a benchmark are shown."""
    return PUBLISHED[name].decimals if name in PUBLISHED else 1


def _place(published: Published, column: str) -> int:
    """Sort key: published columns in their order, before all others."""
    return published.columns.index(column) if column in published.columns else -1


def _shown(value: float | None, places: int) -> str:
    if value is None:
        return ""
    text = f"{value:.{places}f}"
    return text.removesuffix(".0") if value >= 200 else text
