"""Documents become Markdown files, whatever their names."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from internvl_ops.errors import ConfigurationError
from internvl_ops.tasks import ground, ocr
from pipelines.output.folder import ERRORS, OutputFolder
from tests.pipelines.exports.outputs import exported, tree, write_output

DOCUMENT = pa.schema([("document", pa.string())])


def page(parent: str, number: int, text: str) -> dict:
    values = {
        "parent": parent,
        "page": number,
        "document": f"{parent}.pdf",
        "response": text,
        "text": text,
    }
    return {"id": f"{parent}#page={number}", **values}


def test_pages_of_a_document_are_one_file(tmp_path: Path) -> None:
    pages = [page("a/b.pdf", 10, "ten"), page("a/b.pdf", 2, "two"), page("c", 1, "alone")]
    write_output(
        tmp_path / "out", ocr("markdown"), pages, manifest=DOCUMENT, kind="document", explodes=True
    )
    failed = [{"id": "a/b.pdf#page=3", "stage": "decode", "kind": "corrupt", "message": "it broke"}]
    failed.append(
        {"id": "other#page=1", "stage": "decode", "kind": "corrupt", "message": "it broke"}
    )
    OutputFolder(str(tmp_path / "out")).write_table(
        f"{ERRORS}/e.parquet", pa.Table.from_pylist(failed)
    )
    counts = exported(tmp_path / "out", tmp_path / "md", "markdown")
    assert counts.rows_out == 3
    files = {
        name: data.decode() for name, data in tree(tmp_path / "md").items() if name.endswith(".md")
    }
    assert files == {
        "documents/a%2Fb.pdf.md": "two\n\n<!-- page 3 failed: corrupt: it broke -->\n\nten\n",
        "documents/c.md": "alone\n",
    }
    index = [
        json.loads(line) for line in (tmp_path / "md" / "index.jsonl").read_text().splitlines()
    ]
    assert [(entry["id"], entry["file"], entry["num_pages"]) for entry in index] == [
        ("a/b.pdf", "documents/a%2Fb.pdf.md", 3),
        ("c", "documents/c.md", 1),
    ]
    assert index[0]["failed_pages"] == [{"page": 3, "kind": "corrupt", "message": "it broke"}]


def test_a_document_stays_in_one_split_and_goes_with_its_rows(tmp_path: Path) -> None:
    pages = [
        page(f"d{number}", side, f"{number}.{side}") for number in range(20) for side in (1, 2, 3)
    ]
    write_output(
        tmp_path / "out",
        ocr(),
        pages,
        manifest=DOCUMENT,
        kind="document",
        explodes=True,
        rows_per_file=7,
    )
    exported(tmp_path / "out", tmp_path / "md", "markdown", split="train=0.5,val=0.5")
    files = [path for path in tree(tmp_path / "md") if path.endswith(".md")]
    assert len(files) == 20
    assert {path.partition("/")[0] for path in files} == {"train", "val"}
    exported(tmp_path / "out", tmp_path / "md", "markdown", where="parent = 'd3'", overwrite=True)
    assert sorted(tree(tmp_path / "md")) == ["documents/d3.md", "export.json", "index.jsonl"]


def test_an_image_is_a_document_of_its_own(tmp_path: Path) -> None:
    rows = [{"id": "sign", "image": "a.jpg", "response": "STOP", "text": "STOP"}]
    write_output(tmp_path / "out", ocr(), rows, manifest=pa.schema([("image", pa.string())]))
    exported(tmp_path / "out", tmp_path / "md", "markdown")
    assert (tmp_path / "md" / "documents" / "sign.md").read_text() == "STOP\n"


def test_results_without_text_are_refused(tmp_path: Path) -> None:
    rows = [{"id": "a", "image": "a.jpg", "response": "x", "boxes": []}]
    write_output(
        tmp_path / "out", ground(detect=True), rows, manifest=pa.schema([("image", pa.string())])
    )
    with pytest.raises(ConfigurationError, match="have no text"):
        exported(tmp_path / "out", tmp_path / "md", "markdown")
