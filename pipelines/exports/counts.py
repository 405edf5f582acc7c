"""Counts the rows of an export: rows in = rows out + rows left out, by reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


class LeftOut(Exception):
    """A row has no place in a form.

    Args:
        reason: One word of those in `REASONS`, or ``fetch_`` or ``render_`` and the kind of an
            error.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


# What each reason means, for the person who reads the counts and for docs/exports.md.
REASONS = {
    "where": "the row does not match `--where`",
    "split": (
        "the shares of `--split` leave a rest and the row is in it, or its `--split-column` is null"
    ),
    "no_answer": "the answer is empty, or the task found nothing in it",
    "no_size": "the row has boxes, but no width and height to convert them with",
    "several_images": (
        "the row has not exactly one image, and it is not known which one the boxes are of"
    ),
    "image_tags": "the question has another number of `<image>` than the row has images",
    "special_tokens": (
        "a text holds a token that would break the prompt, such as `<IMG_CONTEXT>` or `<|im_end|>`"
    ),
    "inline_media": "the manifest held the media as bytes, which results do not keep",
    "other_store": (
        "the trainer cannot open the address of the media: http(s), or S3 where the others are"
        " local"
    ),
    "document_page": (
        "the row is a page of a document, and the form needs an image file; `sft`, `llava` and"
        " `sharegpt` make one with `--media copy`"
    ),
    "video_clip": "the row is a clip, and the form would repeat its whole video for each one",
    "no_figures": "the page has no block of the types in `--cut` whose place on it is known",
    "bad_row": (
        "the values of the row are not as a job writes them; the log says of each what is wrong"
    ),
    "changed": (
        "the media have another version than `source_version`: they changed since they were asked"
        " about"
    ),
    "fetch_…": "the media could not be fetched; the kind of the error follows",
    "render_…": "the page could not be rendered again; the kind of the error follows",
}


@dataclass
class ExportCounts:
    """Rows of an export, or of a part of it."""

    rows_in: int = 0
    out: Counter[str] = field(default_factory=Counter)  # by split
    left_out: Counter[str] = field(default_factory=Counter)  # by reason

    @property
    def rows_out(self) -> int:
        return self.out.total()

    def add(self, other: ExportCounts) -> None:
        self.rows_in += other.rows_in
        self.out += other.out
        self.left_out += other.left_out

    def check(self) -> None:
        """Proves that no row was lost.

        Raises:
            RuntimeError: The sum does not add up.
        """
        if self.rows_in != self.rows_out + self.left_out.total():
            raise RuntimeError(f"Rows were lost: {self.sentence()}")

    def sentence(self) -> str:
        """The sum, for a person."""
        left = self.left_out.total()
        sign = "=" if self.rows_in == self.rows_out + left else "≠"
        return f"{self.rows_in:,} rows in {sign} {self.rows_out:,} rows out + {left:,} left out"

    def lines(self) -> list[str]:
        """The sum, and one line a reason and a split."""
        lines = [f"  {self.sentence()}"]
        if len(self.out) > 1:
            lines += [f"    {name}: {number:,}" for name, number in sorted(self.out.items())]
        for reason, number in self.left_out.most_common():
            meaning = REASONS.get(reason, REASONS["fetch_…"] if reason.startswith("fetch_") else "")
            lines.append(f"    left out {reason}: {number:,} ({meaning})")
        return lines

    def as_dict(self) -> dict[str, Any]:
        return {
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "left_out": dict(sorted(self.left_out.items())),
            "splits": dict(sorted(self.out.items())),
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> ExportCounts:
        return cls(value["rows_in"], Counter(value["splits"]), Counter(value["left_out"]))


def reasons_table() -> str:
    """The reasons as a Markdown table, for docs/exports.md."""
    return "\n".join(
        [
            "| reason | meaning |",
            "|---|---|",
            *(f"| `{name}` | {text} |" for name, text in REASONS.items()),
        ]
    )
