"""The main job as a user runs it: submitted to a Ray cluster, from S3 to S3, with broken files,
killed and resumed."""

import json
import os
import signal
import subprocess

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipelines.metrics import METRICS
from testing.cluster import RayHead, filesystem, wait_for
from testing.datasets import write_dataset
from testing.object_store import object_store

GOOD = 120


@pytest.fixture(scope="module")
def store():
    if os.environ.get("TEST_S3") == "real":  # make test-s3
        yield {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        return
    with object_store(own_process=True) as environment:
        yield environment


@pytest.fixture(scope="module")
def buckets(fs):
    """Buckets of their own, for input and output; removed afterwards, since the store may be
    somebody's."""
    names = [f"captions-{word}-{os.urandom(4).hex()}" for word in ("in", "out")]
    for name in names:
        fs.call_s3("create_bucket", Bucket=name)
    yield names
    for name in names:
        fs.rm(name, recursive=True)


@pytest.fixture(scope="module")
def fs(store):
    return filesystem(store)


@pytest.fixture(scope="module")
def failing(fs, buckets, tmp_path_factory):
    """Puts the dataset into the store; gives id -> kind of the rows that must fail."""
    folder = tmp_path_factory.mktemp("dataset")
    failing = write_dataset(folder, good=GOOD)
    fs.put(f"{folder}/", f"{buckets[0]}/", recursive=True)
    return failing


@pytest.fixture(scope="module")
def head(store):
    head = RayHead(store)
    yield head
    head.stop()


class Output:
    """One output folder in the store, and the command that fills it."""

    def __init__(self, fs, buckets, model, name):
        self.fs, self.path = fs, f"{buckets[1]}/{name}"
        self.command = [
            *(
                "jobs/caption_dataset.py",
                "--input",
                f"s3://{buckets[0]}/manifest.jsonl",
                "--output",
                f"s3://{self.path}",
            ),
            *(
                "--model",
                str(model),
                "--max-new-tokens",
                "4",
                "--max-tiles",
                "4",
                "--max-bytes",
                "3000000",
            ),
            *("--commit-seconds", "2", "--rows-per-file", "100"),
        ]

    def files(self, folder):
        return sorted(self.fs.glob(f"{self.path}/{folder}/*.parquet"))

    def rows(self, folder):
        tables = [pq.read_table(self.fs.open(path)).to_pandas() for path in self.files(folder)]
        return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def whole(head, fs, buckets, failing, model):
    """One whole run; every test of its output reads it."""
    output = Output(fs, buckets, model, "whole")
    output.job = head.submit(*output.command)
    output.scraped = head.scrape()  # gauges go twenty seconds after the run
    assert output.job.returncode == 0, output.job.stdout + output.job.stderr
    return output


def test_job_succeeds_and_says_that_no_row_was_lost(whole):
    assert f"{GOOD + 20} units in = {GOOD} results + 20 errors + 0 already done" in whole.job.stdout
    assert "succeeded" in whole.job.stdout


def test_log_tells_how_far_the_job_is(whole):
    everything = f"{GOOD + 20}/{GOOD + 20} units, "
    assert everything in whole.job.stdout
    assert whole.job.stdout.split(everything)[-1].splitlines()[0].endswith("20 failed")


def test_summary_has_the_three_most_frequent_errors(whole):
    said = [line for line in whole.job.stdout.splitlines() if " × " in line]
    assert [line.split(" × ")[1].split(":")[0] for line in said] == [
        "unsupported",
        "corrupt",
        "too_large",
    ]


def test_every_good_image_has_a_result_with_its_own_columns(whole, failing):
    results = whole.rows("results")
    assert len(results) == results.id.nunique() == GOOD
    assert set(results.id).isdisjoint(failing)
    assert results.year.dtype == "int64"
    by_id = results.set_index("id")
    assert tuple(by_id.loc["0000", ["width", "height", "year"]]) == (4000, 3000, 2000)
    assert (results.finish_reason.isin(["stop", "length"])).all()
    assert (results.completion_tokens > 0).all()


def test_every_broken_row_is_an_error_with_a_true_and_distinct_reason(whole, failing):
    errors = whole.rows("errors")
    assert dict(zip(errors.id, errors.kind, strict=True)) == failing
    assert errors.message.nunique() == len(failing)
    assert errors.source.str.match(r"manifest\.jsonl:\d+$").all()


def test_output_reads_back_in_duckdb_as_in_pandas(whole, fs, tmp_path):
    fs.get(f"{whole.path}/results/", f"{tmp_path}/", recursive=True)
    found = duckdb.sql(
        f"SELECT count(*), count(DISTINCT id), sum(num_tiles) FROM '{tmp_path}/*.parquet'"
    ).fetchall()
    assert found == [(GOOD, GOOD, whole.rows("results").num_tiles.sum())]


def test_run_record_counts_and_nothing_written_holds_a_secret(whole, fs, store):
    (path,) = fs.glob(f"{whole.path}/_runs/*/run.json")
    record = json.load(fs.open(path))
    assert record["status"] == "done"
    assert record["counts"]["lost"] == 0
    assert sum(record["error_kinds"].values()) == 20
    for path in fs.find(whole.path):
        assert store["AWS_SECRET_ACCESS_KEY"].encode() not in fs.cat_file(path), path


def test_prometheus_gets_the_numbers_of_the_run_record(whole, fs):
    (path,) = fs.glob(f"{whole.path}/_runs/*/run.json")
    record = json.load(fs.open(path))
    found = {
        (sample.name, *(sample.labels[label] for label in metric.labels)): sample.value
        for family in text_string_to_metric_families(whole.scraped)
        for sample in family.samples
        for metric in METRICS
        if sample.name == metric.exported and sample.labels["run"] == record["run_id"]
    }
    named = {
        key[0].removeprefix("ray_internvl_batch_"): value
        for key, value in found.items()
        if len(key) == 1
    }
    assert named["units_read_total"] == record["counts"]["units"] == GOOD + 20
    assert named["units_done_total"] == record["counts"]["results"] == GOOD
    assert (named["units_in_flight"], named["units_unaccounted"], named["units_expected"]) == (
        0,
        0,
        GOOD + 20,
    )
    for name in ("prompt", "completion"):
        assert named[f"{name}_tokens_total"] == record["tokens"][name] > 0
    assert named["tiles_total"] == record["tiles"] == whole.rows("results").num_tiles.sum()
    assert named["engine_idle_share"] == record["device"]["engine_idle_share"]
    assert named["lease_age_seconds"] < 15
    by_kind = {
        key[1]: value
        for key, value in found.items()
        if key[0] == "ray_internvl_batch_units_failed_total"
    }
    assert by_kind == record["error_kinds"]


def test_killed_half_way_and_submitted_again_it_ends_as_if_undisturbed(
    head, fs, buckets, model, failing, whole
):
    output = Output(fs, buckets, model, "killed")
    # what is tested here is not the engine, and this one starts soonest
    output.command += ["--engine", "transformers"]
    started = head.submit(*output.command, wait=False)
    assert started.returncode == 0, started.stderr
    wait_for("the first results", lambda: output.files("results"))
    kill_driver(output.path)
    wait_for("the job's end", lambda: "RUNNING" not in head.ray("job", "list").stdout)
    before = output.rows("results")
    assert 0 < len(before) < GOOD

    again = head.submit(*output.command)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"+ {len(before):,} already done" in again.stdout
    columns = ["id", "image", "year", "width", "height", "num_tiles", "prompt_tokens", "notes"]
    final, expected = (
        one.rows("results").sort_values("id")[columns].astype(str).reset_index(drop=True)
        for one in (output, whole)
    )
    assert len(final) == GOOD
    assert final.equals(expected)
    assert dict(output.rows("errors")[["id", "kind"]].itertuples(index=False)) == failing


@pytest.mark.slow
def test_a_finished_job_run_again_does_nothing(head, whole):
    before = whole.files("results")
    again = head.submit(*whole.command)
    assert again.returncode == 0, again.stdout
    assert (
        f"{GOOD + 20} units in = 0 results + 0 errors + {GOOD} already done + 20 already failed"
        in again.stdout
    )
    assert whole.files("results") == before


def kill_driver(output: str) -> None:
    """SIGKILL to the job's own process, as the kernel does it out of memory."""
    pattern = f"^python jobs/caption_dataset.py .*{output}( |$)"
    found = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True)
    pids = [int(pid) for pid in found.stdout.split()]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
