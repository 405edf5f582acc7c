"""Draws two benchmarks that nano-InternVL can be asked, in the forms in which RefCOCO and DocVQA
are published.

python -m examples.nano.benchmarks FOLDER --count 200
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from examples.nano.draw import draw
from examples.nano.held_out import phrase_of, true_box
from examples.nano.sample_types import SHORT, Picture

HELD_OUT = 2**48 + 20_000  # seeds: those of training, of evaluate.py and of the demo are below
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # of a Hugging Face dataset
DOCVQA = pa.schema(
    [
        ("questionId", pa.string()),
        ("question", pa.string()),
        ("question_types", pa.list_(pa.string())),
        ("image", IMAGE),
        ("docId", pa.int64()),
        ("answers", pa.list_(pa.string())),
        ("data_split", pa.string()),
    ]
)


def png(picture: Picture) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture.pixels).save(file, "PNG")
    return file.getvalue()


def draw_refcoco(folder: Path, count: int) -> Path:
    """InternVL's ``refcoco_val.jsonl``: image, sent, bbox (x1, y1, x2, y2 in pixels, as drawn),
    height, width."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for seed in range(HELD_OUT, HELD_OUT + count):
        sample = draw("ground", seed)
        picture, box = sample.pictures[0], [round(side, 2) for side in true_box(sample)]
        path = f"images/{seed - HELD_OUT:06d}.png"
        (folder / path).write_bytes(png(picture))
        height, width, _ = picture.pixels.shape
        row = {
            "image": path,
            "sent": phrase_of(sample),
            "bbox": box,
            "height": height,
            "width": width,
        }
        lines.append(json.dumps(row) + "\n")
    (folder / "refcoco_drawn.jsonl").write_text("".join(lines))
    return folder / "refcoco_drawn.jsonl"


def draw_docvqa(folder: Path, count: int) -> Path:
    """The Parquet of lmms-lab/DocVQA, with questions about shapes: nano-InternVL was taught no
    others."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in range(HELD_OUT, HELD_OUT + count):
        sample = draw("question", seed)
        rows.append(
            {
                "questionId": str(seed - HELD_OUT),
                "question": sample.question.removesuffix(SHORT),
                "question_types": ["figure/diagram"],
                "image": {"bytes": png(sample.pictures[0]), "path": None},
                "docId": seed - HELD_OUT,
                "answers": [sample.answer],
                "data_split": "drawn",
            }
        )
    pq.write_table(pa.Table.from_pylist(rows, DOCVQA), folder / "drawn-00000-of-00001.parquet")
    return folder / "drawn-00000-of-00001.parquet"


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw a RefCOCO-format and a DocVQA-format set.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200, help="questions in each")
    options = parser.parse_args()
    print(draw_refcoco(options.folder / "refcoco", options.count))
    print(draw_docvqa(options.folder / "docvqa", options.count))


if __name__ == "__main__":
    main()
