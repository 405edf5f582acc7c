"""The package in a Ray session of its caller: one session and one engine for all that is looked at
here."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import threading
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pytest
import ray
from ray.data import DataContext, Dataset

import internvl_batch
from testing.cluster import wait_for

ROOT = Path(__file__).parents[2]
NANO = str(ROOT / "examples/nano/checkpoint")
IMAGES = sorted((ROOT / "examples/demo/images").glob("*.png"))


def state() -> list[Any]:
    """What a process has for itself, and a library must not change."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    loggers = [
        (logging.getLogger(name).level, logging.getLogger(name).handlers[:])
        for name in ("", "ray.data")
    ]
    context = {
        name: repr(value)
        for name, value in vars(DataContext.get_current()).items()
        if name[0] != "_"
    }
    return [dict(os.environ), handlers, loggers, context, repr(warnings.filters)]


class Answered:
    """A Dataset that a caller made, ran through two tasks between stages of his own, joined and
    wrote."""

    def __init__(self, folder: Path) -> None:
        rows = [{"id": n, "image": str(path), "year": 1900 + n} for n, path in enumerate(IMAGES)]
        rows += [
            {"id": 100, "image": "/etc/hostname", "year": 1},
            {"id": 101, "image": None, "year": 2},
        ]
        # OpenCV sets a variable of the environment when it is imported
        importlib.import_module("pipelines.annotate")
        self.before, ran = state(), folder / "ran"

        def mine(batch: pd.DataFrame) -> pd.DataFrame:
            return batch.assign(century=batch["year"] // 100)

        def words(batch: pa.Table) -> pa.Table:
            ran.touch()
            return batch.append_column("words", _words(batch))

        dataset: Any = ray.data.from_items(rows).map_batches(mine, batch_format="pandas")
        dataset = internvl_batch.annotate(
            dataset,
            tasks=["caption", "examples.own_task:colours"],
            model=NANO,
            colours="red,green,blue",
            media_root=ROOT / "examples/demo/images",
        )
        dataset = dataset.map_batches(words, batch_format="pyarrow")
        others = ray.data.from_items([{"id": n, "source": f"museum {n}"} for n in range(200)])
        joined: Dataset = dataset.join(others, "inner", num_partitions=1, on=("id",))
        self.ran_before_it_was_wanted = ran.exists()
        joined.write_parquet(str(folder / "out"))
        self.after = state()
        self.rows = sorted(
            pyarrow.dataset.dataset(folder / "out").to_table().to_pylist(),
            key=lambda row: row["id"],
        )


def _words(batch: pa.Table) -> pa.Array:
    return pa.array([len((text or "").split()) for text in batch["caption"].to_pylist()])


@pytest.fixture(scope="module")
def answered(ray_session: str, tmp_path_factory: pytest.TempPathFactory) -> Answered:
    """Made outside of the main thread, as a server or a notebook may do."""
    made: list[Any] = []

    def make() -> None:
        try:
            made.append(Answered(tmp_path_factory.mktemp("answered")))
        except BaseException as error:
            made.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if isinstance(made[0], BaseException):
        raise made[0]
    found: Answered = made[0]
    return found


def test_every_row_comes_back_once_with_the_columns_of_both_sides(answered: Answered) -> None:
    assert [row["id"] for row in answered.rows] == [*range(len(IMAGES)), 100, 101]
    first = answered.rows[0]
    assert (first["year"], first["century"], first["source"]) == (1900, 19, "museum 0")
    assert first["image"] == str(IMAGES[0])
    assert first["caption"]
    assert first["words"] == len(first["caption"].split())
    assert (first["finish_reason"], first["error"]) == ("stop", None)


def test_an_own_task_answers_with_its_options(answered: Answered) -> None:
    fine = [row for row in answered.rows if row["error"] is None]
    assert len(fine) == len(IMAGES)
    for row in fine:
        assert set(row["colours"]) <= {"red", "green", "blue"}
        assert row["first_colour"] == (row["colours"] or [None])[0]


def test_a_row_that_fails_costs_that_row(answered: Answered) -> None:
    refused, missing = answered.rows[-2:]
    assert refused["error"]["kind"] == "refused"
    assert "add allow /etc/" in refused["error"]["message"]
    assert missing["error"]["kind"] == "bad_row"
    assert refused["caption"] is missing["caption"] is None
    assert missing["year"] == 2


def test_no_row_is_answered_before_it_is_wanted(answered: Answered) -> None:
    assert not answered.ran_before_it_was_wanted


def test_the_process_stays_as_it_was(answered: Answered, ray_session: str) -> None:
    assert answered.after == answered.before
    assert ray.get_runtime_context().get_node_id() == ray_session


def test_a_run_to_a_folder_uses_the_session_and_keeps_it(ray_session: str, tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text("")
    before = state()
    result = internvl_batch.caption(
        tmp_path / "none.jsonl", tmp_path / "out", model=NANO, image_column="image"
    )
    assert (result.status, result.results, result.errors, result.already_done) == ("done", 0, 0, 0)
    assert Path(result.report_path).is_file()
    assert ray.get_runtime_context().get_node_id() == ray_session
    assert state() == before


def actors() -> set[str]:
    """Classes of the actors that are alive or about to be, without those of Ray itself."""
    found = ray._private.state.actors().values()
    return {one["ActorClassName"] for one in found if one["State"] != "DEAD" and not one["Name"]}


@pytest.mark.usefixtures("ray_session")
def test_a_run_leaves_no_ledger_in_the_session(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text(f'{{"image": "{IMAGES[0]}"}}')
    given = {"model": NANO, "engine": "transformers", "max_tiles": 1, "allow": str(IMAGES[0])}
    internvl_batch.caption(tmp_path / "one.jsonl", tmp_path / "out", **given)
    wait_for("the ledger of a run that is done has ended", lambda: "LedgerActor" not in actors())
    with pytest.raises(internvl_batch.RunFailed):
        internvl_batch.caption(
            tmp_path / "one.jsonl",
            tmp_path / "failed",
            **given,
            engine_args={"dtype": "no such type"},
        )
    wait_for("the ledger of a run that failed has ended", lambda: "LedgerActor" not in actors())


def test_another_cluster_than_that_of_the_session_is_refused(
    ray_session: str, tmp_path: Path
) -> None:
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(
        internvl_batch.ConfigurationError, match="this process has a Ray session already"
    ):
        internvl_batch.caption(
            tmp_path / "none.jsonl",
            tmp_path / "out",
            model=NANO,
            image_column="image",
            ray_address="head:6379",
        )


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    "data",
    [
        [str(IMAGES[0])],
        [{"image": str(IMAGES[0])}],
        pa.table({"image": [str(IMAGES[0])]}),
        pd.DataFrame({"image": [str(IMAGES[0])]}),
    ],
    ids=["paths", "dicts", "arrow", "pandas"],
)
def test_rows_of_every_form_become_a_lazy_dataset(data: Any) -> None:
    dataset = internvl_batch.ask(data, prompt="What is this?", model=NANO, max_tiles=2)
    assert isinstance(dataset, Dataset)
    with pytest.raises(internvl_batch.ConfigurationError, match=r"9 engines .* lower engines"):
        internvl_batch.ask(data, prompt="What is this?", model=NANO, engines=9)
