"""``--shards N`` divides the cluster among the parts, or says what is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.fetch import Fetcher
from pipelines.blocks import Blocks
from pipelines.cluster import Workers
from pipelines.commands.parts import Share, begin_parts, not_done, shares
from pipelines.options.job_options import JobOptions
from pipelines.output.folder import OutputFolder
from pipelines.output.ownership import mark, parquet_name
from pipelines.output.shards import check_shard
from pipelines.sources import SourceOptions, plan_source, read_split


def options(shards: int, **others: object) -> JobOptions:
    return JobOptions(input="in", output="out", model="model", shards=shards, **others)  # type: ignore[arg-type]


def workers(engines: int, gpus_per_engine: int = 1) -> Workers:
    return Workers(
        engines=engines,
        gpus_per_engine=gpus_per_engine,
        prepare_actors=1,
        in_flight=1,
        blocks=Blocks(1, 1),
    )


@given(parts=st.integers(1, 20), more_engines=st.integers(0, 40), more_cpus=st.integers(0, 200))
def test_nothing_is_left_over_and_no_part_is_left_out(
    parts: int, more_engines: int, more_cpus: int
) -> None:
    engines, cpus = parts + more_engines, parts + more_cpus
    divided = shares(options(parts), workers(engines), cpus)
    assert sum(share.engines for share in divided) == engines
    assert sum(share.prepare_actors for share in divided) == cpus
    assert (
        min(share.engines for share in divided) >= max(share.engines for share in divided) - 1 >= 0
    )
    assert all(share.prepare_actors >= 1 for share in divided)


def test_on_cpus_each_part_has_an_engine() -> None:
    assert shares(options(2), workers(1, gpus_per_engine=0), 6) == [Share(1, 2), Share(1, 2)]


def test_numbers_that_are_given_are_divided() -> None:
    assert shares(options(2, engines=3, prepare_actors=5), workers(3), 64) == [
        Share(2, 3),
        Share(1, 2),
    ]


def test_fewer_engines_than_parts() -> None:
    with pytest.raises(ConfigurationError, match=r"room for 4 engines.*Lower --shards to 4"):
        shares(options(8), workers(4), 64)


def test_fewer_cpus_than_parts_need() -> None:
    with pytest.raises(ConfigurationError, match="need 4 CPUs, the cluster has 3"):
        shares(options(2), workers(1, gpus_per_engine=0), 3)
    with pytest.raises(
        ConfigurationError, match=r"2 engines and 3 prepare actors.*need 5 CPUs, the cluster has 4"
    ):
        shares(options(2, prepare_actors=3), workers(1, gpus_per_engine=0), 4)


@pytest.mark.parametrize("name", ["engines", "prepare_actors"])
def test_too_few_for_the_parts_are_refused_before_a_cluster_is_there(name: str) -> None:
    option = name.replace("_", "-")
    with pytest.raises(
        ConfigurationError,
        match=f"--shards 4 --{option} 2: .*Raise --{option}, or lower --shards to 2",
    ):
        check_shard(options(4, **{name: 2}))
    check_shard(options(4, **{name: 4}))


def test_parts_that_are_not_done_are_named() -> None:
    assert not_done([0, 3, 0]) == ""
    assert not_done([0, -9, 1]).startswith(
        "Not done: 2/3 was killed by SIGKILL, 3/3 ended with status 1. "
    )
    assert not_done([2, 0]) == "Refused: 1/2; the reason stands above, in the lines of that part."


def test_a_part_ends_with_the_process_that_started_it() -> None:
    waits = (
        "import signal; from pipelines.commands.parts import end_with_parts; end_with_parts();"
        " signal.pause()"
    )
    environment = os.environ | {"INTERNVL_BATCH_PARTS_OF": str(os.getpid())}
    with subprocess.Popen(
        [sys.executable, "-c", waits], stdin=subprocess.PIPE, env=environment
    ) as part:
        assert part.stdin is not None
        part.stdin.close()  # as the kernel does it at the end of the process
        assert part.wait(120) == -signal.SIGTERM


def test_a_part_that_is_done_ends_well_while_its_starter_lives() -> None:
    ends = "from pipelines.commands.parts import end_with_parts; end_with_parts()"
    environment = os.environ | {"INTERNVL_BATCH_PARTS_OF": str(os.getpid())}
    with subprocess.Popen(
        [sys.executable, "-c", ends], stdin=subprocess.PIPE, env=environment
    ) as part:
        assert part.wait(120) == 0


def test_what_has_changed_is_removed_before_the_parts_begin(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / f"{name}.jpg").write_bytes(b"as it was")
    output = OutputFolder(str(tmp_path / "out"))
    with Fetcher(ReadPolicy(str(tmp_path / "in"))) as fetcher:
        uris = [f"{tmp_path}/in/{name}.jpg" for name in "ab"]
        fetcher.fetch_many(uris)
        plan = plan_source(SourceOptions(uri=str(tmp_path / "in")))
        ids = [
            row["id"]
            for split in plan.splits
            for rows in read_split(plan, split)
            for row in rows.to_pylist()
        ]
        table = pa.table(
            {
                "id": ids,
                plan.media_column: uris,
                "source_version": [fetcher.version(uri) for uri in uris],
            }
        )
    output.write_table(
        f"results/{parquet_name('run', 0)}", table.replace_schema_metadata(mark("run"))
    )
    (tmp_path / "in" / "a.jpg").write_bytes(b"as it is now")
    made = JobOptions(
        input=str(tmp_path / "in"), output=output.uri, model="model", shards=2, refresh="changed"
    )
    check_shard(made)
    begin_parts(made, plan)
    (left,) = [table["id"].to_pylist() for _, table in output.read_tables("results", ["id"])]
    assert left == ids[1:]
    with pytest.raises(
        ConfigurationError, match=r"--shard 1/2 --refresh changed: .* Run it with --shards"
    ):
        check_shard(made.model_copy(update={"shards": 1, "shard": "1/2"}))
