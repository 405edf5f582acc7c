"""The rows of the tables that the family publishes in its model cards and its README, and what this
project offers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from internvl_ops.evaluation.declarations import BENCHMARKS, Name

CARD, VIDEO, GROUNDING, README = "card, images", "card, videos", "card, boxes", "family README"
NO_ANSWERS = (
    "the answers of the test split are not published: their server scores them; offered is the"
    " other split"
)
_LABELS = "a benchmark of the command `embed`: labels of pictures by their vectors"
_SEARCH = "a benchmark of the command `search`: pictures and texts by their vectors"


@dataclass(frozen=True)
class PublishedRow:
    """A row of a published table.

    Args:
        table: The table that it is in.
        row: As published.
        benchmark: The benchmark of `evaluate` that measures it; None if none does.
        column: Its figure, as in `Figures.table`.
        why: Why it is not offered, or what is different about the split.
        vectors: Names of the benchmarks of vectors that it is about.
    """

    table: str
    row: str
    benchmark: Name | None = None
    column: str = ""
    why: str = ""
    vectors: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """``offered``, ``needs a judge`` or ``not offered``."""
        if self.vectors:
            return "offered"
        if self.benchmark is None:
            return "not offered"
        return "needs a judge" if BENCHMARKS[self.benchmark].judge is not None else "offered"


def _refcoco() -> Iterator[PublishedRow]:
    for column in ("avg.", "RefCOCO val", "RefCOCO testA", "RefCOCO testB", "RefCOCO+ val",
                   "RefCOCO+ testA", "RefCOCO+ testB", "RefCOCOg val",
                   "RefCOCOg test"):  # fmt: skip
        yield PublishedRow(GROUNDING, column, "refcoco", column)


_JUDGE = "offered; the judge is a model of yours"
PUBLISHED_ROWS: tuple[PublishedRow, ...] = (
    PublishedRow(CARD, "DocVQA test", "docvqa", "DocVQA val", NO_ANSWERS),
    PublishedRow(CARD, "ChartQA test", "chartqa", "ChartQA avg."),
    PublishedRow(CARD, "InfoVQA test", "infovqa", "InfoVQA val", NO_ANSWERS),
    PublishedRow(CARD, "TextVQA val", "textvqa", "TextVQA val"),
    PublishedRow(CARD, "OCRBench", "ocrbench", "OCRBench"),
    PublishedRow(CARD, "MME sum", "mme", "MME sum"),
    PublishedRow(CARD, "RealWorldQA", "realworldqa", "RealWorldQA"),
    PublishedRow(CARD, "AI2D test", "ai2d", "AI2D test"),
    PublishedRow(CARD, "MMMU val", "mmmu", "MMMU val"),
    PublishedRow(CARD, "MMBench-EN test", "mmbench", "MMBench-EN dev", NO_ANSWERS),
    PublishedRow(CARD, "MMBench-CN test", "mmbench_cn", "MMBench-CN dev", NO_ANSWERS),
    PublishedRow(CARD, "CCBench dev", "ccbench", "CCBench dev"),
    PublishedRow(CARD, "MMVet GPT-4-0613", "mmvet", "MMVet GPT-4-0613", _JUDGE),
    PublishedRow(CARD, "MMVet GPT-4-Turbo", "mmvet", "MMVet GPT-4-Turbo", _JUDGE),
    PublishedRow(CARD, "SEED-Image", "seed", "SEED-Image"),
    PublishedRow(CARD, "HallBench avg", "hallusionbench", "HallBench avg"),
    PublishedRow(CARD, "MathVista testmini", "mathvista", "MathVista testmini", _JUDGE),
    PublishedRow(CARD, "OpenCompass avg", why="a mean of eight benchmarks; MMBench V1.1 and MMStar "
        "are not offered"),
    PublishedRow(VIDEO, "MVBench", "mvbench", "MVBench"),
    PublishedRow(VIDEO, "MMBench-Video 8f", "mmbench_video", "MMBench-Video 8f",
                 f"{_JUDGE}; with 8 frames"),
    PublishedRow(VIDEO, "MMBench-Video 16f", "mmbench_video", "MMBench-Video 16f", _JUDGE),
    PublishedRow(VIDEO, "Video-MME w/o subs", "videomme", "Video-MME w/o subs"),
    PublishedRow(VIDEO, "Video-MME w subs", "videomme", "Video-MME w subs"),
    *_refcoco(),
    PublishedRow(README, "MMVP", "mmvp", "MMVP"),
    PublishedRow(README, "MMBench, MMMU, MathVista of V1.2 and V1.2-Plus", "mmbench",
                 "MMBench-EN dev", "MMBench and MMMU as above; MathVista needs a judge"),
    PublishedRow(README, "linear-probe classification, 6 sets",
                 why="it trains a classifier on features of InternViT"),
    PublishedRow(README, "semantic segmentation, 3 decoders",
                 why="it trains decoders, which are not published"),
    PublishedRow(README, "zero-shot classification, 6 sets", why=_LABELS,
                 vectors=("imagenet", "imagenet_a", "imagenet_r", "imagenet_v2",
                          "imagenet_sketch", "objectnet")),
    PublishedRow(README, "zero-shot classification, 5 languages", why=_LABELS,
                 vectors=("imagenet", "imagenet_zh", "imagenet_jp", "imagenet_ar", "imagenet_it")),
    PublishedRow(README, "zero-shot classification of videos, K400, K600, K700", why=_LABELS,
                 vectors=("kinetics400", "kinetics600", "kinetics700")),
    PublishedRow(README, "retrieval, Flickr30K and COCO", why=_SEARCH,
                 vectors=("flickr30k", "coco")),
    PublishedRow(README, "retrieval, Flickr30K-CN and COCO-CN", why=_SEARCH,
                 vectors=("flickr30k_cn", "coco_cn")),
    PublishedRow(README, "retrieval, XTD", why=_SEARCH, vectors=("xtd",)),
)  # fmt: skip


def coverage_markdown() -> str:
    """A Markdown table of the published rows with their state."""
    lines = ["| table | row | state | benchmark | note |", "|---|---|---|---|---|"]
    for one in PUBLISHED_ROWS:
        named = (one.benchmark,) if one.benchmark else one.vectors
        benchmark = ", ".join(f"`{name}`" for name in named)
        lines.append(f"| {one.table} | {one.row} | {one.state} | {benchmark} | {one.why} |")
    return "\n".join(lines)
