"""The approximate index of an output's vectors, in a local file with the ids beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from internvl_ops.errors import ConfigurationError
from internvl_ops.vectors.index import Index
from internvl_ops.vectors.nearest import Nearest
from pipelines.extras import library
from pipelines.options.messages import say_now
from pipelines.search.embedded import Embedded

SAMPLE = 200  # vectors by which the recall of a new index is measured
_FILES = b"files"


def open_index(path: str, embedded: Embedded) -> tuple[Index, list[str]]:
    """The index of an output's vectors and their ids; made if the file is not there, or is of other
    files.

    Raises:
        ConfigurationError: The library is missing, or the file cannot be written or read.
    """
    usearch = library("usearch.index", "search", "--index")
    file, ids_file = Path(path), Path(f"{path}.ids.parquet")
    index = Index(embedded.size, usearch)
    try:
        if file.exists() and ids_file.exists():
            table = pq.read_table(ids_file)
            if json.loads((table.schema.metadata or {}).get(_FILES, b"[]")) == embedded.files:
                index.load(file)
                return index, table["id"].to_pylist()
            say_now(f"{path} is of other vectors; making it anew")
        ids = _fill(index, embedded)
        index.save(file)
        metadata = {_FILES: json.dumps(embedded.files).encode()}
        pq.write_table(pa.table({"id": ids}).replace_schema_metadata(metadata), ids_file)
    except (OSError, RuntimeError) as error:
        raise ConfigurationError(
            f"--index {path}: {error}. Give a path of a file that can be written."
        ) from None
    return index, ids


def _fill(index: Index, embedded: Embedded) -> list[str]:
    ids: list[str] = []
    sample = np.zeros((0, embedded.size), np.float32)
    for rows, vectors in embedded.tables():
        index.add(vectors)
        ids += rows["id"].to_pylist()
        sample = sample if len(sample) >= SAMPLE else np.concatenate([sample, vectors])[:SAMPLE]
        say_now(f"{len(ids):,} vectors are in the index")
    if ids:
        exact = Nearest(sample, 10)
        for _, vectors in embedded.tables():
            exact.add(vectors)
        found = index.recall(sample, exact, 10)
        say_now(f"the index finds {found:.1%} of the 10 nearest of {len(sample):,} vectors")
    return ids
