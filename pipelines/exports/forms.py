"""The forms of an export, in one table: `FORMS`.

A new form is a module in this folder and a row here. The command line, the error for a missing
library and the table in docs/exports.md follow.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from pipelines.extras import library


@dataclass(frozen=True)
class ExportForm:
    """What the command needs to know of a form before it is imported.

    Args:
        name: In ``--to``.
        place: Module in this folder and class that writes it.
        writes: The files that it writes, in Markdown.
        read_by: Who reads it.
        shown: The moment from which readers see it.
        extra: Extra of this package that installs what it needs.
        needs: Module of that library.
    """

    name: str
    place: str
    writes: str
    read_by: str
    shown: str
    extra: str | None = None
    needs: str | None = None

    def load(self) -> Any:
        """The class that writes it.

        Raises:
            ConfigurationError: Its library is not installed.
        """
        if self.needs is not None:
            library(self.needs, str(self.extra), f"--to {self.name}")
        module, _, cls = self.place.partition(":")
        return getattr(importlib.import_module(f"pipelines.exports.{module}"), cls)


FORMS: dict[str, ExportForm] = {
    form.name: form
    for form in (
        ExportForm(
            "sft",
            "sft:Sft",
            "`SPLIT.jsonl`, `meta.json`",
            "InternVL's fine-tuning scripts (their `meta_path`)",
            "`meta.json`",
        ),
        ExportForm(
            "hf",
            "hf:Hf",
            "`data/SPLIT-NUMBER.parquet` with the images, `README.md`",
            "`datasets.load_dataset(FOLDER)`, the Hub",
            "`README.md`",
        ),
        ExportForm(
            "webdataset",
            "webdataset:Webdataset",
            "`SPLIT-NUMBER.tar`, of each row its media, `.json` and `.txt`",
            "`webdataset`, and the jobs themselves as `--input`",
            "`export.json`",
        ),
        ExportForm(
            "coco",
            "coco:Coco",
            "`SPLIT.json`: images, boxes in pixels, categories",
            "`pycocotools`, detection trainers",
            "`export.json`",
        ),
        ExportForm(
            "llava", "llava:Llava", "`SPLIT.json`", "LLaVA's training scripts", "`export.json`"
        ),
        ExportForm(
            "sharegpt",
            "sharegpt:Sharegpt",
            "`SPLIT.json`, `dataset_info.json`",
            "LLaMA-Factory and others that read ShareGPT",
            "`dataset_info.json`",
        ),
        ExportForm(
            "markdown",
            "markdown:Markdown",
            "`documents/NAME.md` or `SPLIT/NAME.md`, `index.jsonl`",
            "people, search, static sites",
            "`index.jsonl`",
        ),
        ExportForm(
            "figures",
            "figures:Figures",
            "`figures/NAME-ORDER.jpg`, cut out of pages; `SPLIT.jsonl` with places and captions",
            "people, search, training on figures",
            "`export.json`",
        ),
        ExportForm(
            "delta",
            "delta:Delta",
            "a Delta table, a commit for each run",
            "Spark, DuckDB, Polars, `deltalake`",
            "the commit",
            "delta",
            "deltalake",
        ),
        ExportForm(
            "iceberg",
            "iceberg:Iceberg",
            "an Iceberg table, a commit for each run",
            "Spark, Trino, `pyiceberg`",
            "`metadata/version-hint.text`",
            "iceberg",
            "pyiceberg.catalog.memory",
        ),
        ExportForm(
            "lance",
            "lance:Lance",
            "a Lance dataset, a version for each run",
            "`lance`, LanceDB",
            "the version",
            "lance",
            "lance",
        ),
    )
}


def table() -> str:
    """The forms as a Markdown table, for docs/exports.md."""
    lines = ["| `--to` | writes | for | extra | readers see it from |", "|---|---|---|---|---|"]
    for form in FORMS.values():
        extra = f"`{form.extra}`" if form.extra else ""
        lines.append(f"| `{form.name}` | {form.writes} | {form.read_by} | {extra} | {form.shown} |")
    return "\n".join(lines)
