"""``README.md`` of an output: describes the folder and makes ``datasets.load_dataset(OUTPUT)``
work."""

from __future__ import annotations

from internvl_ops.stores.redaction import safe_uri
from pipelines.output.folder import OutputFolder
from pipelines.output.side_files import write_side_file

CARD = "README.md"
# Folders that datasets opens by name; `results` opens without a name.
_CONFIGS = (
    ("results", "results/*.parquet"),
    ("errors", "errors/*.parquet"),
    ("documents", "documents/*.parquet"),
    ("evaluation", "evaluation/samples.parquet"),
    ("reviews", "reviews/*.parquet"),
)
_HERE = """from os.path import abspath
OUT = abspath(".")  # the folder that this file stands in"""


def write_card(output: OutputFolder, run_id: str) -> None:
    """Writes the card, unless the folder has a ``README.md`` of the user's."""
    write_side_file(output, CARD, card(output).encode(), run_id, beside=False)


def card(output: OutputFolder) -> str:
    """The text of the card. It does not depend on a single run, so it is written once."""
    place = _HERE if output.local else f'OUT = "{safe_uri(output.uri)}"'
    return f"""---
configs:
{_configs()}
---

# Answers of an InternVL model

Written by internvl-batch. `results/` has one row for each unit that was answered, `errors/` one for
each that failed; `_runs/` says how each run went. Task, prompt, model and settings stand in the
metadata of every Parquet file. All files of a folder have the same columns; `more_columns` is JSON
of what later manifests had besides.

```python
{place}

import pandas as pd
pd.read_parquet(f"{{OUT}}/results")

import duckdb
duckdb.sql(f"SELECT * FROM '{{OUT}}/results/*.parquet'")

import polars as pl
pl.read_parquet(f"{{OUT}}/results/*.parquet")

from pyspark.sql import SparkSession
SparkSession.builder.getOrCreate().read.parquet({_spark(output)})

from datasets import load_dataset
{_datasets(output)}
```
"""


def _configs() -> str:
    lines = []
    for name, files in _CONFIGS:
        lines += [f"- config_name: {name}", f"  data_files: {files}"]
        lines += ["  default: true"] if name == "results" else []
    return "\n".join(lines)


def _datasets(output: OutputFolder) -> str:
    if output.local:
        return 'load_dataset(OUT, split="train")\nload_dataset(OUT, "errors", split="train")'
    # it opens no folder by URI
    return 'load_dataset("parquet", data_files=f"{OUT}/results/*.parquet", split="train")'


def _spark(output: OutputFolder) -> str:
    scheme = output.store.scheme
    renamed = f'.replace("{scheme.name}://", "{scheme.hadoop}://")' if scheme.hadoop else ""
    return f'f"{{OUT}}/results"{renamed}'
