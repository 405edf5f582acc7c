"""No run reads what it writes, and no output lies in another."""

from __future__ import annotations

from pathlib import Path

import pytest

from internvl_ops.errors import ConfigurationError
from pipelines.options.apart import check_apart
from pipelines.options.job_options import JobOptions


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of manifests, a link to it, and the output of an earlier run."""
    (tmp_path / "in" / "more").mkdir(parents=True)
    (tmp_path / "in" / "m.parquet").touch()
    (tmp_path / "link").symlink_to("in")
    for name in ("results", "documents", "_runs"):
        (tmp_path / "done" / name).mkdir(parents=True)
    (tmp_path / "done" / "results" / "a.parquet").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(given: str, output: str) -> None:
    check_apart(JobOptions(input=given, output=output, model="m"))


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ("in", "in"),
        ("in", "in/out"),
        ("in/", "in/out/"),
        ("in", "in/../in/out"),
        ("in", "./in/more/../out"),
        ("in", "link/out"),
        ("link", "in/out"),
        ("link/", "link/more/out"),
        ("in/**", "in/out"),
        ("in/**/*.parquet", "link/out"),
        ("in/*/*/*.parquet", "in/out"),
        ("in/*/results/*", "in/out"),
        ("in/{out,more}/errors/*.jsonl", "in/out"),
        ("done/results", "done"),
        ("done/results/a.parquet", "done"),
        ("done/results/*.parquet", "done/"),
        ("done/results/a.parquet", "done/../done"),
        ("done/documents/x.pdf", "done"),
        ("done/*/*.parquet", "done"),
        (".", "out"),
    ],
)
def test_an_overlap_is_refused_however_it_is_written(place: Path, given: str, output: str) -> None:
    with pytest.raises(ConfigurationError, match="overlap") as error:
        check(given, output)
    assert given in str(error.value)
    assert output in str(error.value)


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ("in", "out"),
        ("in", "in-out"),
        ("in/m.parquet", "in"),
        ("in/m.parquet", "in/out"),
        ("in/*.parquet", "in/out"),
        ("in/*.parquet", "in"),
        ("in/more", "in/out"),
        ("in/*/m.parquet", "in/out"),
        ("done/results", "out"),
        ("in/more", "in"),
    ],
)
def test_what_lies_beside_is_let_in(place: Path, given: str, output: str) -> None:
    check(given, output)


@pytest.mark.parametrize("output", ["done/results", "done/results/x", "done/documents/2/3"])
def test_an_output_in_another_is_refused(place: Path, output: str) -> None:
    """Readers of ``done/results`` look into its folders, too."""
    with pytest.raises(ConfigurationError, match=r"of the output .*/done"):
        check("in", output)


@pytest.mark.parametrize(
    ("given", "output"),
    [("in", "ftp://host/out"), ("s3://bucket/m.csv", "out"), ("in", "s3://bucket/out")],
)
def test_what_cannot_be_looked_at_is_left_to_who_opens_it(
    place: Path, monkeypatch: pytest.MonkeyPatch, given: str, output: str
) -> None:
    """Whoever reads the input, or writes the output, says what is wrong with it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    check(given, output)


def test_an_output_around_another_is_refused(place: Path) -> None:
    (place / "out" / "results" / "_runs").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="out/results is an output of its own"):
        check("in", "out")
