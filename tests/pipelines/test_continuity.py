"""What one night writes and the next one writes reads as one table, or the next night is refused."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from internvl_ops.errors import ConfigurationError
from pipelines.continuity import fit_schema
from pipelines.output import OutputFolder


def night(folder: Path, number: int, values: list, type_: pa.DataType) -> None:
    output = OutputFolder(str(folder))
    schema = fit_schema(output, pa.schema([("id", pa.string()), ("n", type_)]))
    column = pa.array(values, type_).cast(schema.field("n").type)
    ids = pa.array([f"{number}-{row}" for row in range(len(values))])
    output.write_table(f"results/{number}.parquet", pa.table([ids, column], schema=schema))


@pytest.mark.parametrize(
    ("first", "second", "read"),
    [
        (([0.5], pa.float64()), ([1], pa.int64()), [0.5, 1]),
        (([1], pa.int64()), ([2], pa.int16()), [1, 2]),
        (([1], pa.int64()), ([2], pa.uint32()), [1, 2]),
        (([1], pa.int64()), ([None], pa.null()), [1, None]),
        ((["a"], pa.string()), (["b"], pa.string()), ["a", "b"]),
    ],
)
def test_a_type_that_fits_takes_the_older_one(tmp_path: Path, first: tuple, second: tuple, read: list) -> None:
    night(tmp_path, 1, *first)
    night(tmp_path, 2, *second)
    assert pd.read_parquet(tmp_path / "results")["n"].astype(object).where(lambda n: n.notna(), None).tolist() == read
    found = duckdb.sql(f"select n from '{tmp_path}/results/*.parquet' order by id").fetchall()
    assert [value for (value,) in found] == read


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (([1], pa.int64()), ([0.5], pa.float64())),
        (([1], pa.int32()), ([1], pa.int64())),
        (([0.5], pa.float32()), ([1], pa.int64())),
        (([1], pa.int64()), ([1], pa.uint64())),
        (([1], pa.int64()), (["1"], pa.string())),
        (([{"a": 1}], pa.struct([("a", pa.int64())])), ([{"b": 1}], pa.struct([("b", pa.int64())]))),
        ((["a"], pa.string()), ([["a"]], pa.list_(pa.string()))),
    ],
)
def test_one_that_does_not_is_refused_by_name(tmp_path: Path, first: tuple, second: tuple) -> None:
    night(tmp_path, 1, *first)
    with pytest.raises(ConfigurationError, match=r"column 'n' is .* there, .* now.*--overwrite"):
        night(tmp_path, 2, *second)
