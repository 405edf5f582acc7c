"""Searching an output of vectors, as the command does it, over vectors that the tiny InternVL-14B
made."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset
import pytest

from internvl_ops.errors import ConfigurationError
from pipelines.commands import search
from pipelines.flags import in_flags
from pipelines.options.command_line import build_options
from pipelines.search.finding import Found, find
from pipelines.search.options import SearchOptions
from testing.tiny.encoders import make_tiny_internvl
from tests.pipelines.embedding import embedded, image_rows, picture
from tests.pipelines.stages.rows import manifest_rows

COLOURS = {
    "red": (200, 20, 20),
    "pink": (205, 30, 30),
    "blue": (20, 20, 200),
    "navy": (25, 25, 190),
    "grey": (90,) * 3,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoint, pictures, their vectors (out), and those of texts
    (texts/out)."""
    place = tmp_path_factory.mktemp("search")
    model = str(make_tiny_internvl(place / "model"))
    rows = image_rows([picture(colour) for colour in COLOURS.values()])
    embedded(place, rows, model=model, engine_args={"dtype": "float32"})
    for name, colour in COLOURS.items():
        (place / f"{name}.png").write_bytes(picture(colour))
    texts = manifest_rows(
        ["t1", "t2", "t3"],
        text=["a red square", "a blue circle", "grey"],
        image=["0", '["2"]', "9"],
    )
    (place / "texts").mkdir()
    embedded(
        place / "texts", texts, model=model, text_column="text", engine_args={"dtype": "float32"}
    )
    return place


def found(place: Path, **options: Any) -> Found:
    given: SearchOptions = build_options(SearchOptions, {"input": str(place / "out"), **options})
    search.check(given)
    return find(given)


def ids(matches: Sequence[Sequence[Any]]) -> list[list[str]]:
    return [[one.id for one in near] for near in matches]


def vectors(folder: Path) -> dict[str, np.ndarray]:
    table = pyarrow.dataset.dataset(folder / "results").to_table(["id", "vector"])
    return {row["id"]: np.array(row["vector"]) for row in table.to_pylist()}


def nearest(place: Path, query: np.ndarray) -> list[str]:
    known = vectors(place / "out")
    return sorted(known, key=lambda name: -float(known[name] @ query))


def test_near_to_a_unit_which_is_left_out(place: Path) -> None:
    of = vectors(place / "out")
    assert ids(found(place, query_id=["0", "2"], top=3).matches) == [
        [name for name in nearest(place, of[one]) if name != one][:3] for one in ("0", "2")
    ]


def test_near_to_a_picture_and_to_a_text(place: Path) -> None:
    """The picture of a unit finds the unit, and a text has the vector that the job gives it."""
    by = found(place, query_image=[str(place / "blue.png")], query_text=["a blue circle"], top=5)
    assert by.matches[1][0].id == "2"
    assert by.matches[1][0].similarity == pytest.approx(1, abs=1e-2)
    assert ids(by.matches)[0] == nearest(place, vectors(place / "texts" / "out")["t2"])


def test_a_condition(place: Path) -> None:
    assert ids(found(place, query_id=["0"], where="id IN ('3', '4')").matches) == [
        [name for name in nearest(place, vectors(place / "out")["0"]) if name in ("3", "4")]
    ]


def test_by_an_index_that_is_kept(place: Path, tmp_path: Path) -> None:
    exact = found(place, query_id=["0"], top=3)
    index = tmp_path / "index"
    assert ids(found(place, query_id=["0"], top=3, index=str(index)).matches) == ids(exact.matches)
    written = index.stat().st_mtime_ns
    found(place, query_id=["1"], index=str(index))
    assert index.stat().st_mtime_ns == written


def test_an_index_of_other_vectors_is_made_anew(place: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    found(place, query_id=["0"], index=str(index))
    shutil.copytree(place / "out", tmp_path / "out")
    (file,) = (tmp_path / "out" / "results").iterdir()
    shutil.copy(file, file.with_name(file.name.replace("run-", "run-1")))
    known = find(
        build_options(
            SearchOptions, {"input": str(tmp_path / "out"), "query_id": ["0"], "index": str(index)}
        )
    )
    assert len(known.matches[0]) > len(COLOURS) - 1


def test_queries_of_another_output_with_their_truth(place: Path, tmp_path: Path) -> None:
    """A truth is an id, or several as JSON; recall is by hand."""
    of = vectors(place / "texts" / "out")
    order = {name: nearest(place, vector) for name, vector in of.items()}
    by = found(place, queries=str(place / "texts" / "out"), truth_column="image")
    assert dict(zip(by.names, ids(by.matches), strict=True)) == order
    first = [order["t1"][0] == "0", order["t2"][0] == "2", False]
    assert by.recall == {
        1: pytest.approx(sum(first) / 3),
        5: pytest.approx(2 / 3),
        10: pytest.approx(2 / 3),
    }


def test_recall_stands_beside_the_published_figures(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {
        "input": str(place / "out"),
        "queries": str(place / "texts" / "out"),
        "truth_column": "image",
        "benchmark": "flickr30k",
    }
    assert search.run(build_options(SearchOptions, values), "run") == 0
    said = capsys.readouterr().out
    assert "Recall over 3 queries" in said
    assert "Published for Flickr30K, recall at 1, 5 and 10:" in said
    assert "  InternVL-C text to image: 81.7, 96.0, 98.2" in said


def test_matches_are_written(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {
        "input": str(place / "out"),
        "queries": str(place / "texts" / "out"),
        "output": str(tmp_path / "found"),
    }
    assert search.run(build_options(SearchOptions, values), "run") == 0
    table = pyarrow.dataset.dataset(tmp_path / "found" / "results").to_table()
    assert {row["id"]: [one["id"] for one in row["matches"]] for row in table.to_pylist()} == {
        name: nearest(place, vector) for name, vector in vectors(place / "texts" / "out").items()
    }
    with pytest.raises(ConfigurationError, match="holds results already"):
        search.run(build_options(SearchOptions, values), "run")
    assert search.run(build_options(SearchOptions, values | {"overwrite": True}), "run") == 0
    assert len(list((tmp_path / "found" / "results").iterdir())) == 1
    assert "matches" in capsys.readouterr().out


def test_what_is_printed(place: Path) -> None:
    said = search.in_words(found(place, query_id=["0"], top=2)).splitlines()
    assert said[0] == "0"
    assert len(said) == 3
    assert max(map(len, said)) <= 80


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "Nothing to search for: add --query-id"),
        ({"query_id": ["nobody"]}, "--query-id nobody: no unit of .* has this id"),
        ({"query_id": ["0"], "queries": "{texts}"}, "--query-id and --queries: leave one"),
        (
            {"query_id": ["0"], "truth_column": "image"},
            "--truth-column image: it is a column of --queries",
        ),
        (
            {"query_id": ["0"], "benchmark": "coco"},
            "--benchmark coco has no effect: .* --truth-col",
        ),
        ({"query_id": ["0"], "output": "out"}, "--output is for what --queries finds"),
        ({"query_id": ["0"], "overwrite": True}, "--overwrite has no effect"),
        ({"query_id": ["0"], "model": "x"}, "--model x has no effect"),
        ({"query_id": ["0"], "where": "colour = 1"}, "--where colour = 1: .*colour"),
        ({"query_id": ["0"], "where": "true", "index": "{index}"}, "--where with --index"),
        (
            {"queries": "{texts}", "truth_column": "caption"},
            "--truth-column caption: no such column",
        ),
        ({"query_image": ["{place}/none.png"]}, "none.png"),
        (
            {"query_text": ["x"], "model": "{other}"},
            "its files are not those that made the vectors",
        ),
        ({"input": "{place}", "query_id": ["0"]}, "holds no results"),
    ],
)
def test_wrong_options(place: Path, tmp_path: Path, options: dict[str, Any], match: str) -> None:
    names = {
        "texts": place / "texts" / "out",
        "place": place,
        "index": tmp_path / "index",
        "other": tmp_path / "other",
    }
    if "{other}" in str(options):
        make_tiny_internvl(tmp_path / "other", seed=8)
    filled = {
        name: value.format(**names) if isinstance(value, str) else value
        for name, value in options.items()
    } | (
        {"query_image": [options["query_image"][0].format(**names)]}
        if "query_image" in options
        else {}
    )
    with pytest.raises(ConfigurationError) as error:
        found(place, **filled)
    assert re.search(match, in_flags(str(error.value))), error.value


def test_outputs_of_two_models(place: Path, tmp_path: Path) -> None:
    other = make_tiny_internvl(tmp_path / "model", seed=8)
    embedded(tmp_path, manifest_rows(["a"], text=["x"]), model=str(other), text_column="text")
    with pytest.raises(ConfigurationError, match="do not share a space: weights"):
        found(place, queries=str(tmp_path / "out"))
