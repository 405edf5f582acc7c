"""Outputs for the viewer, written by the project's own writer over pictures, pages and clips that
are drawn here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import ImageDraw

from internvl_ops.errors import ErrorKind, UnitError
from internvl_ops.tasks import TEXT, Task, caption, ground, ocr
from pipelines import columns as c
from pipelines.ledger.finished import unit_key
from pipelines.ledger.ledger import Counts, Ledger
from pipelines.options.job_options import JobOptions
from pipelines.output.documents import write_documents
from pipelines.output.folder import OutputFolder
from pipelines.output.ownership import new_run_id
from pipelines.output.result_columns import MEASURE_COLUMNS, own_columns, result_schema
from pipelines.output.writer import Writer
from pipelines.report.record import RunRecord
from testing import corpus_documents, corpus_video
from testing.pictures import encoded, natural

CAPTIONS = (
    "a red square beside a blue one",
    "two people on a street in the rain",
    "a dog that holds an umbrella",
)
HOSTILE = (
    '<script>window.hacked = 1</script><svg onload="window.hacked = 1"></svg><img src=x'
    " onerror='window.hacked = 1'></script></textarea> [click](javascript:window.hacked=1)"
    " ![pixel](https://example.com/p.png) \u202egpj.exe"
)
IMAGE = pa.schema([("image", pa.string())])  # the manifest's column
_MEASURED = {
    "prompt_tokens": 300,
    "finish_reason": "stop",
    "attempts": 1,
    "num_tiles": 3,
    "notes": [],
}


def write_output(
    folder: Path | str,
    manifest: Path,
    task: Task,
    rows: Sequence[Mapping[str, Any]],
    *,
    passthrough: pa.Schema,
    kind: str = "image",
    exploded: bool = False,
    failed: Mapping[str, tuple[ErrorKind, str]] | None = None,
    model: str = "org/model",
    **options: Any,
) -> None:
    """Writes rows as a run would, with its record.

    Args:
        folder: The output.
        manifest: What the run read.
        task: The task.
        rows: Values of the rows; what they lack has a usual value.
        passthrough: The manifest's own columns.
        kind: Kind of the media.
        exploded: Whether files were split into units.
        failed: For ids of rows that failed, the kind and the message of the error.
        model: Name of the model.
        options: Options of the run.
    """
    output = OutputFolder(str(folder))
    own = own_columns(task, TEXT.columns(task.columns), MEASURE_COLUMNS[kind, exploded])
    given = {"input": str(manifest), "output": str(folder), "model": model, **options}
    record = RunRecord(JobOptions.model_validate(given), task, output)
    # As a run that a person looks at later: a mark made within a second of a run's start is about
    # older answers.
    record.run_id = new_run_id(record.started - timedelta(minutes=1))
    finished = pa.unify_schemas([_internal(own), passthrough])
    table = pa.Table.from_pylist([_finished(row, failed or {}) for row in rows], finished)
    ledger = Ledger()
    ledger.claim([row["id"] for row in rows], range(len(rows)))
    with Writer(
        output, ledger, result_schema(passthrough, task, own), run_id=record.run_id, model=model
    ) as writer:
        writer.add(table)
    totals = writer.totals
    record.ended = "done"
    record.finish(totals, Counts(len(rows), totals.results, totals.errors, 0, 0), [])
    if exploded and kind == "document":
        write_documents(output, "text", "parquet", record.run_id)


def _internal(own: pa.Schema) -> pa.Schema:
    carried = [
        (c.ID, pa.string()),
        (c.SOURCE, pa.string()),
        (c.POSITION, pa.int64()),
        (c.KEY, pa.binary(16)),
    ]
    internal = [(c.ERROR, c.ERROR_TYPE), (c.PLACES, pa.list_(pa.string()))]
    return pa.schema(
        [*carried, *internal, *(field for field in own if field.name not in ("model", "run_id"))]
    )


def _finished(
    row: Mapping[str, Any], failed: Mapping[str, tuple[ErrorKind, str]]
) -> dict[str, Any]:
    common = {
        c.SOURCE: "manifest.jsonl:1",
        c.POSITION: 0,
        c.KEY: unit_key(row["id"], 1),
        "source_version": '"etag"',
    }
    if row["id"] in failed:
        kind, message = failed[row["id"]]
        places = [str(row["image"])] if row.get("image") else []
        return {
            **common,
            **row,
            c.PLACES: places,
            c.ERROR: c.error_value(UnitError("decode", kind, message)),
        }
    answer = next(
        (row[name] for name in ("caption", "text", "answer") if row.get(name) is not None), ""
    )
    measured = {**_MEASURED, "response": answer, "completion_tokens": len(str(answer).split())}
    return {**common, **measured, **row}


def captions(
    folder: Path, *, count: int = 12, name: str = "captions", changed: Sequence[int] = ()
) -> Path:
    """Captions of drawn pictures, one picture that fails to decode, and one hostile row.

    Args:
        folder: Gets the pictures and the output.
        count: Number of pictures.
        name: Name of the output.
        changed: Numbers of pictures whose caption has another last word.
    """
    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    rows = []
    for number in range(count):
        path = pictures / f"{number:03}.jpg"
        path.write_bytes(encoded(natural(320, 200 + 10 * number, number), "JPEG"))
        text = CAPTIONS[number % len(CAPTIONS)] + (" at night" if number in changed else "")
        reason = "length" if number % 5 == 4 else "stop"
        size = {"width": 320, "height": 200 + 10 * number}
        rows.append(
            {
                "id": f"unit-{number:03}",
                "image": path.name,
                "caption": text,
                "finish_reason": reason,
                **size,
            }
        )
    (pictures / "broken.jpg").write_bytes(b"no picture at all")
    rows.append({"id": "broken", "image": "broken.jpg"})
    rows.append(
        {
            "id": f"hostile {HOSTILE}",
            "image": "000.jpg",
            "caption": HOSTILE,
            "width": 320,
            "height": 200,
        }
    )
    write_output(
        folder / name,
        pictures / "manifest.jsonl",
        caption(prompt="What is this?"),
        rows,
        passthrough=IMAGE,
        failed={"broken": ("corrupt", "the file is no picture; fetch it again")},
        model=f"org/{name}",
    )
    return folder / name


def boxes(folder: Path) -> Path:
    """Pictures of two squares each, with a box around each square."""
    pictures = folder / "squares"
    pictures.mkdir(exist_ok=True)
    rows = []
    for number in range(4):
        image = natural(400, 300, number)
        found = [(30 + 20 * number, 40, 120 + 20 * number, 130), (230, 150, 340, 260)]
        for corners, colour in zip(found, ("red", "blue"), strict=True):
            ImageDraw.Draw(image).rectangle(corners, fill=colour)
        (pictures / f"{number}.png").write_bytes(encoded(image, "PNG"))
        named = [
            dict(
                zip(
                    ("label", "x1", "y1", "x2", "y2"),
                    (f"the {colour} square", *map(float, corners)),
                    strict=True,
                )
            )
            for corners, colour in zip(found, ("red", "blue"), strict=True)
        ]
        size = {"width": 400, "height": 300}
        rows.append(
            {
                "id": f"squares-{number}",
                "image": f"{number}.png",
                "boxes": named,
                "response": "boxes",
                **size,
            }
        )
    write_output(
        folder / "boxes", pictures / "m.jsonl", ground(detect=True), rows, passthrough=IMAGE
    )
    return folder / "boxes"


def pages(folder: Path) -> Path:
    """A document of three pages, read as Markdown."""
    (folder / "letter.pdf").write_bytes(
        corpus_documents.make(corpus_documents.Document(pages=3, lines=20))
    )
    table = "| item | price |\n|---|---|\n| tea | **3** |"
    rows = [
        {
            "id": f"letter.pdf#page={page}",
            "document": "letter.pdf",
            "parent": "letter.pdf",
            "page": page,
            "text": f"# Page {page}\n\nSome *words* of the page.\n\n{table}\n",
            "text_layer": f"Page {page}\n\nSome words of this page.\n",
            "blocks": _blocks(page),
            "width": 595,
            "height": 842,
        }
        for page in (1, 2, 3)
    ]
    names = ("document", "text_layer")
    passthrough = pa.schema([(name, pa.string()) for name in names])
    manifest = folder / "documents.jsonl"
    given = {"kind": "document", "exploded": True}
    write_output(
        folder / "pages",
        manifest,
        ocr(format="json", blocks=True),
        rows,
        passthrough=passthrough,
        **given,
    )
    return folder / "pages"


def _blocks(page: int) -> list[dict[str, Any]]:
    """Blocks with places, of which one is not known, and a table with a cell over two columns."""
    table = "<table><tr><th colspan='2'>prices</th></tr><tr><td>tea</td><td>3</td></tr></table>"
    kinds = (
        ("heading", f"Page {page}"),
        ("table", "prices\t\ntea\t3"),
        ("paragraph", "Some words"),
    )
    return [
        {
            "type": kind,
            "level": 1 if kind == "heading" else None,
            "order": order,
            "text": text,
            "html": table if kind == "table" else None,
            "box": None
            if kind == "paragraph"
            else {"x1": 60, "y1": 100 * order, "x2": 400, "y2": 100 * order + 80},
        }
        for order, (kind, text) in enumerate(kinds, 1)
    ]


def clips(folder: Path) -> Path:
    """Two clips of a video whose frames show their numbers."""
    (folder / "film.mp4").write_bytes(corpus_video.make(corpus_video.Clip(frames=50)))
    rows = [
        {
            "id": f"film.mp4#clip={number}",
            "video": "film.mp4",
            "parent": "film.mp4",
            "clip_start": float(number - 1),
            "clip_end": float(number),
            "caption": f"part {number} of the film",
            "width": 320,
            "height": 180,
            "num_frames": 4,
        }
        for number in (1, 2)
    ]
    write_output(
        folder / "clips",
        folder / "films.jsonl",
        caption(prompt="What happens?"),
        rows,
        passthrough=pa.schema([("video", pa.string())]),
        kind="video",
        exploded=True,
        num_frames=4,
        clip_seconds=1,
    )
    return folder / "clips"
