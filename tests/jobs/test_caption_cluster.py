"""The main job as a user runs it: submitted to a Ray cluster, from S3 to S3, with broken files, killed and resumed."""

import json
import os
import signal
import subprocess

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from internvl_ops.models.tiny import make_tiny_checkpoint
from tests.datasets import write_dataset
from tests.jobs.cluster import RayHead, filesystem, s3_server, wait_for

GOOD = 480
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def store():
    with s3_server() as environment:
        yield environment


@pytest.fixture(scope="module")
def fs(store):
    return filesystem(store)


@pytest.fixture(scope="module")
def failing(store, fs, tmp_path_factory):
    """The dataset in s3://captions-in; gives id -> kind of the rows that must fail."""
    folder = tmp_path_factory.mktemp("dataset")
    failing = write_dataset(folder, good=GOOD)
    fs.call_s3("create_bucket", Bucket="captions-in")
    fs.call_s3("create_bucket", Bucket="captions-out")
    fs.put(f"{folder}/", "captions-in/", recursive=True)
    return failing


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def head(store, tmp_path_factory):
    # Ray's sockets lie in its folder, and a socket's path may have 107 bytes.
    folder = tmp_path_factory.mktemp("r")
    head = RayHead(folder, store)
    yield head
    head.stop()


def caption(model, output, *more):
    return [
        *(
            "jobs/caption_dataset.py",
            "--input",
            "s3://captions-in/manifest.jsonl",
            "--output",
            f"s3://captions-out/{output}",
        ),
        *("--model", str(model), "--max-new-tokens", "4", "--max-tiles", "4", "--max-bytes", "3000000"),
        *("--commit-seconds", "2", "--rows-per-file", "100", *more),
    ]


def rows(fs, output, folder):
    tables = [pq.read_table(fs.open(path)) for path in sorted(fs.glob(f"captions-out/{output}/{folder}/*.parquet"))]
    return pd.concat([table.to_pandas() for table in tables], ignore_index=True)


def run_records(fs, output):
    return [json.load(fs.open(path)) for path in sorted(fs.glob(f"captions-out/{output}/_runs/*/run.json"))]


@pytest.fixture(scope="module")
def undisturbed(head, fs, failing, model):
    """One whole run; every test of its output reads it."""
    done = head.submit(*caption(model, "whole"))
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_job_succeeds_and_says_that_no_row_was_lost(undisturbed):
    assert "500 units in = 480 results + 20 errors + 0 already done" in undisturbed.stdout
    assert "succeeded" in undisturbed.stdout


def test_log_tells_how_far_the_job_is(undisturbed):
    assert "/500 units" in undisturbed.stdout
    assert "tokens/s" in undisturbed.stdout


def test_summary_has_the_three_most_frequent_errors(undisturbed, failing):
    said = [line for line in undisturbed.stdout.splitlines() if " × " in line]
    assert [line.split(" × ")[1].split(":")[0] for line in said] == ["unsupported", "corrupt", "too_large"]


def test_every_good_image_has_a_result_with_its_own_columns(undisturbed, fs, failing):
    results = rows(fs, "whole", "results")
    assert len(results) == results.id.nunique() == GOOD
    assert set(results.id).isdisjoint(failing)
    assert results.year.dtype == "int64"
    by_id = results.set_index("id")
    assert tuple(by_id.loc["0000", ["width", "height", "year"]]) == (4000, 3000, 2000)
    assert (results.finish_reason.isin(["stop", "length"])).all()
    assert (results.completion_tokens > 0).all()


def test_every_broken_row_is_an_error_with_a_true_and_distinct_reason(undisturbed, fs, failing):
    errors = rows(fs, "whole", "errors")
    assert dict(zip(errors.id, errors.kind, strict=True)) == failing
    assert errors.message.nunique() == len(failing)
    assert errors.source.str.match(r"manifest\.jsonl:\d+$").all()


def test_output_reads_back_in_duckdb_as_in_pandas(undisturbed, fs, tmp_path):
    fs.get("captions-out/whole/results/", f"{tmp_path}/", recursive=True)
    found = duckdb.sql(f"SELECT count(*), count(DISTINCT id), sum(num_tiles) FROM '{tmp_path}/*.parquet'").fetchall()
    results = rows(fs, "whole", "results")
    assert found == [(GOOD, GOOD, results.num_tiles.sum())]


def test_run_record_counts_and_keeps_no_secret(undisturbed, fs, store):
    (record,) = run_records(fs, "whole")
    assert record["status"] == "done"
    assert record["counts"]["lost"] == 0
    assert sum(record["error_kinds"].values()) == 20
    for path in fs.find("captions-out/whole"):
        assert store["AWS_SECRET_ACCESS_KEY"].encode() not in fs.cat_file(path), path


def test_killed_half_way_and_submitted_again_it_ends_as_if_undisturbed(head, fs, failing, model, undisturbed):
    started = head.submit(*caption(model, "killed"), wait=False)
    assert started.returncode == 0, started.stderr
    wait_for("the first results", lambda: len(fs.glob("captions-out/killed/results/*.parquet")) >= 1, 240)
    kill_driver("s3://captions-out/killed")
    wait_for("the job's end", lambda: "RUNNING" not in head.ray("job", "list").stdout, 120)
    before = rows(fs, "killed", "results")
    assert 0 < len(before) < GOOD

    again = head.submit(*caption(model, "killed"))
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"+ {len(before):,} already done" in again.stdout
    columns = ["id", "image", "year", "width", "height", "num_tiles", "prompt_tokens", "notes"]
    final, whole = (rows(fs, name, "results").sort_values("id")[columns].astype(str) for name in ("killed", "whole"))
    assert len(final) == GOOD
    assert final.reset_index(drop=True).equals(whole.reset_index(drop=True))
    assert dict(rows(fs, "killed", "errors")[["id", "kind"]].itertuples(index=False)) == failing


def test_a_finished_job_run_again_does_nothing(head, fs, model, undisturbed):
    before = fs.find("captions-out/whole/results")
    again = head.submit(*caption(model, "whole"))
    assert again.returncode == 0, again.stdout
    assert "500 units in = 0 results + 0 errors + 480 already done + 20 already failed" in again.stdout
    assert fs.find("captions-out/whole/results") == before


def kill_driver(output: str) -> None:
    """SIGKILL to the job's own process, as the kernel does it out of memory."""
    found = subprocess.run(
        ["pgrep", "-f", f"^python jobs/caption_dataset.py .*{output}( |$)"], capture_output=True, text=True
    )
    pids = [int(pid) for pid in found.stdout.split()]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
