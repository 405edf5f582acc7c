"""Benchmarks of vectors, with the figures that the family's README publishes of InternVL-C and -G:
labels without training, and retrieval. They are no questions, so other commands measure them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

ZeroShotName = Literal["imagenet", "imagenet_zh", "imagenet_jp", "imagenet_ar", "imagenet_it",
                       "imagenet_a", "imagenet_r", "imagenet_v2", "imagenet_sketch", "objectnet",
                       "kinetics400", "kinetics600", "kinetics700"]  # fmt: skip
RetrievalName = Literal["flickr30k", "coco", "flickr30k_cn", "coco_cn", "xtd"]
ZERO_SHOT_NAMES: tuple[str, ...] = get_args(ZeroShotName)
RETRIEVAL_NAMES: tuple[str, ...] = get_args(RetrievalName)


@dataclass(frozen=True)
class ZeroShot:
    """A set whose pictures or videos get one of its labels.

    Args:
        title: As the README calls it.
        published: Per cent, by model.
        mean: Whether the figure is the mean of top-1 and top-5, else it is top-1.
    """

    title: str
    published: Mapping[str, float]
    mean: bool = False

    def beside(self, figures: Mapping[str, float]) -> str:
        """The figure of a run beside the published ones; empty if there is none.

        Args:
            figures: ``accuracy`` and, with more than five labels, ``top5``, as shares.
        """
        if "accuracy" not in figures or (self.mean and "top5" not in figures):
            return ""
        found = 100 * figures["accuracy"]
        if self.mean:
            found = (found + 100 * figures["top5"]) / 2
        told = ", ".join(
            f"{model} {value} ({found - value:+.1f})" for model, value in self.published.items()
        )
        what = "mean of top-1 and top-5" if self.mean else "top-1"
        return f"{self.title}, {what}: {found:.1f}; published: {told}."


def _images(title: str, value: float) -> ZeroShot:
    return ZeroShot(title, {"InternVL-C": value})


def _videos(title: str, one: float, eight: float) -> ZeroShot:
    frames = {"InternVL-C with 1 frame": one, "InternVL-C with 8 frames": eight}
    return ZeroShot(title, frames, mean=True)


ZERO_SHOT: dict[str, ZeroShot] = {
    "imagenet": _images("ImageNet-1K", 83.2),
    "imagenet_zh": _images("ImageNet-1K in Chinese", 64.5),
    "imagenet_jp": _images("ImageNet-1K in Japanese", 61.5),
    "imagenet_ar": _images("ImageNet-1K in Arabic", 44.9),
    "imagenet_it": _images("ImageNet-1K in Italian", 65.7),
    "imagenet_a": _images("ImageNet-A", 83.8),
    "imagenet_r": _images("ImageNet-R", 95.5),
    "imagenet_v2": _images("ImageNet-V2", 77.3),
    "imagenet_sketch": _images("ImageNet-Sketch", 73.9),
    "objectnet": _images("ObjectNet", 80.6),
    "kinetics400": _videos("Kinetics-400", 71.0, 79.4),
    "kinetics600": _videos("Kinetics-600", 71.3, 78.8),
    "kinetics700": _videos("Kinetics-700", 65.7, 71.5),
}

_TO_TEXT, _TO_IMAGE = "image to text", "text to image"
_XTD_COLUMNS = ("EN", "ES", "FR", "ZH", "IT", "KO", "RU", "JP", "average")


@dataclass(frozen=True)
class Retrieval:
    """A set of pictures with their captions.

    Args:
        title: As the README calls it.
        columns: What the figures of a row are.
        published: Per cent: model -> direction -> figures.
    """

    title: str
    columns: str
    published: Mapping[str, Mapping[str, tuple[float, ...]]]

    def told(self) -> str:
        """The published figures, a line for each model and direction."""
        lines = [f"Published for {self.title}, {self.columns}:"]
        for model, directions in self.published.items():
            for direction, figures in directions.items():
                said = ", ".join(f"{one:.1f}" for one in figures)
                lines.append(f"  {' '.join(filter(None, (model, direction)))}: {said}")
        return "\n".join(lines)


def _retrieval(title: str, *figures: tuple[float, float, float]) -> Retrieval:
    """Of C and then of G, image to text and then text to image."""
    c_text, c_image, g_text, g_image = figures
    return Retrieval(
        title,
        "recall at 1, 5 and 10",
        {
            "InternVL-C": {_TO_TEXT: c_text, _TO_IMAGE: c_image},
            "InternVL-G": {_TO_TEXT: g_text, _TO_IMAGE: g_image},
        },
    )


RETRIEVAL: dict[str, Retrieval] = {
    "flickr30k": _retrieval(
        "Flickr30K", (94.7, 99.6, 99.9), (81.7, 96.0, 98.2), (95.7, 99.7, 99.9), (85.0, 97.0, 98.6)
    ),
    "coco": _retrieval(
        "COCO", (70.6, 89.0, 93.5), (54.1, 77.3, 84.6), (74.9, 91.3, 95.2), (58.6, 81.3, 88.0)
    ),
    "flickr30k_cn": _retrieval(
        "Flickr30K-CN",
        (90.3, 98.8, 99.7),
        (75.1, 92.9, 96.4),
        (92.9, 99.4, 99.8),
        (77.7, 94.8, 97.3),
    ),
    "coco_cn": _retrieval(
        "COCO-CN", (68.8, 92.0, 96.7), (68.9, 91.9, 96.5), (71.4, 93.9, 97.7), (73.8, 94.4, 98.1)
    ),
    "xtd": Retrieval(
        "XTD",
        ", ".join(_XTD_COLUMNS),
        {
            "InternVL-C": {"": (97.3, 95.7, 95.1, 95.6, 96.0, 92.2, 93.3, 95.5, 95.1)},
            "InternVL-G": {"": (98.6, 97.7, 96.5, 96.7, 96.9, 95.1, 94.8, 96.1, 96.6)},
        },
    ),
}
