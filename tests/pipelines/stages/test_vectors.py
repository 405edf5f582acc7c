"""Vectors from files and texts to Parquet, by the real engine, through the stages as a job makes
them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from internvl_ops.errors import ConfigurationError
from internvl_ops.models.encoders.config import load_encoder
from pipelines.commands.classification import compare
from pipelines.commands.job import check_job
from pipelines.flags import in_flags
from pipelines.options.command_line import build_options
from pipelines.options.embed_options import EmbedJobOptions, label_texts
from pipelines.output.folder import ERRORS, RESULTS
from pipelines.output.settings import METADATA_KEY
from pipelines.search.embedded import Embedded
from pipelines.search.queries import query_vectors
from testing.model_server import ModelServer, vector_of
from testing.tiny.encoders import make_tiny_internvit, make_tiny_internvl
from tests.pipelines.embedding import embedded, image_rows, picture, read
from tests.pipelines.stages.rows import manifest_rows


@pytest.fixture(scope="module")
def internvl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_internvl(tmp_path_factory.mktemp("internvl"))


@pytest.fixture(scope="module")
def internvit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_internvit(tmp_path_factory.mktemp("internvit"))


def refused(model: Path, tmp_path: Path, options: dict[str, Any]) -> str:
    """What the job says of the options."""
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text('{"image": "a.png", "text": "a"}\n')
    values = {
        "input": str(manifest),
        "output": str(tmp_path / "out"),
        "model": str(model),
        **options,
    }
    with pytest.raises(ConfigurationError) as error:
        check_job(build_options(EmbedJobOptions, values), EmbedJobOptions.make_task)
    return in_flags(str(error.value))


def test_pictures_of_the_same_colour_are_near(internvit: Path, tmp_path: Path) -> None:
    """And a file that is no picture costs its own row."""
    red, blue = picture((200, 20, 20)), picture((20, 20, 200))
    output = embedded(
        tmp_path, image_rows([red, blue, red, b"no picture"]), model=str(internvit), pooling="mean"
    )
    vectors = {row["id"]: np.array(row["vector"]) for row in read(output, RESULTS)}
    assert vectors["0"] @ vectors["2"] == pytest.approx(1, abs=1e-3)
    assert vectors["0"] @ vectors["1"] < 0.999
    assert [row["id"] for row in read(output, ERRORS)] == ["3"]
    schema = output.read_table(output.files(RESULTS)[0]).schema
    assert schema.field("vector").type == pa.list_(pa.float32(), 128)
    near = duckdb.sql(
        f"WITH v AS (FROM '{tmp_path}/out/results/*.parquet') SELECT b.id FROM v a, v b WHERE a.id"
        " = '0' AND b.id <> '0' ORDER BY list_cosine_distance(a.vector, b.vector)"
    )
    assert near.fetchall() == [("2",), ("1",)]


def test_half_precision(internvit: Path, tmp_path: Path) -> None:
    rows = image_rows([picture((1, 200, 90))])
    output = embedded(
        tmp_path,
        rows,
        model=str(internvit),
        vector_type="float16",
        engine_args={"dtype": "float32"},
    )
    assert output.read_table(output.files(RESULTS)[0]).schema.field("vector").type == pa.list_(
        pa.float16(), 128
    )
    (row,) = read(output, RESULTS)
    assert np.linalg.norm(row["vector"]) == pytest.approx(1, abs=1e-3)


def test_texts(internvl: Path, tmp_path: Path) -> None:
    """A text of its own; one that is cut says so; an empty one is the row's error."""
    texts = ["a red square", "a blue circle " * 60, "", "a red square"]
    rows = manifest_rows(["a", "b", "c", "d"], text=texts)
    output = embedded(tmp_path, rows, model=str(internvl), text_column="text")
    found = {row["id"]: row for row in read(output, RESULTS)}
    assert found["a"]["vector"] == pytest.approx(found["d"]["vector"], abs=1e-3)
    assert found["a"]["notes"] is None or found["a"]["notes"] == []
    assert found["b"]["notes"] == ["the text is longer than 80 tokens; the rest was left out"]
    assert found["b"]["prompt_tokens"] == 80
    (error,) = read(output, ERRORS)
    assert (error["id"], error["kind"]) == ("c", "bad_row")


def test_labels_without_training(internvl: Path, tmp_path: Path) -> None:
    """The taxonomy's words stand for a label; figures compare with the truth."""
    (tmp_path / "labels.yaml").write_text("colour:\n  red: a red thing\n  blue:\nnothing:\n")
    rows = image_rows([picture((200, 20, 20)), picture((20, 20, 200))])
    rows = rows.append_column("truth", pa.array(["colour/red", "colour/blue"]))
    given: dict[str, Any] = {
        "taxonomy": str(tmp_path / "labels.yaml"),
        "template": ["a photo of {}.", "{}"],
    }
    output = embedded(tmp_path, rows, model=str(internvl), truth_column="truth", **given)
    for row in read(output, RESULTS):
        assert row["labels"][0]["label"] == row["label"]
        assert {one["label"] for one in row["labels"]} == {"colour/red", "colour/blue", "nothing"}
        chances = [one["probability"] for one in row["labels"]]
        assert chances == sorted(chances, reverse=True)
        assert sum(chances) == pytest.approx(1, abs=1e-3)
        assert len(row["vector"]) == 64
    again = {
        "input": str(tmp_path / "manifest.jsonl"),
        "output": output.uri,
        "model": str(internvl),
    }
    options = build_options(EmbedJobOptions, {**given, **again, "truth_column": "truth"})
    assert label_texts(options)[0] == ["a photo of a red thing.", "a red thing"]
    assert label_texts(options)[1] == ["a photo of blue.", "blue"]
    said = compare(options, check_job(options, EmbedJobOptions.make_task, writes=False)[0])
    assert "2 units with a truth" in said
    assert "evaluation/classify.json" in said
    named = options.model_copy(update={"benchmark": "objectnet"})
    beside = compare(named, check_job(named, EmbedJobOptions.make_task, writes=False)[0])
    assert "\nObjectNet, top-1: " in beside
    assert "; published: InternVL-C 80.6 (" in beside


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (
            {"text_column": "text"},
            "--text-column text: .* has no text encoder. Use --model OpenGVLab/InternVL-14B",
        ),
        ({"text_column": "caption"}, "--text-column caption: no such column"),
        ({"pooling": "projected"}, "--pooling projected: .* gives vectors pooled by class, mean"),
        ({"max_tiles": 4}, "--max-tiles 4 has no effect: the middle of a picture is one tile"),
        ({"text_prefix": "x"}, "--text-prefix x has no effect: pictures are embedded"),
        ({"labels": ["a", "b"]}, "--labels a b: labels are texts, and only InternVL-14B-224px"),
        ({"template": ["{}"]}, "--template {} has no effect: there are no labels"),
        ({"truth_column": "text"}, "--truth-column text has no effect: there are no labels"),
        ({"prompt": "What?"}, "--prompt is not an option of this command: vectors have no prompt"),
        (
            {"engine": "vllm", "text_column": "text"},
            "model_type 'intern_vit_6b', which --engine torch embeds",
        ),
        ({"engine": "vllm"}, "--engine vllm embeds texts. Name the column with texts"),
        ({"engine": "openai"}, "--engine openai embeds texts. Name the column with texts"),
        ({"base_url": "http://u:p@h/v1"}, "--base-url http://h/v1: --engine torch runs the"),
        ({"trust_remote_code": True}, "--trust-remote-code has no effect: the model runs in plain"),
        (
            {"engine": "openai", "text_column": "text"},
            "--engine openai: no server is named. Add --base-url",
        ),
        (
            {"engine": "openai", "text_column": "text", "pooling": "mean"},
            "--pooling mean: the server pools",
        ),
        (
            {"engine_args": {"quantization": "awq"}},
            "--engine-args: 'quantization' is not an argument",
        ),
        ({"gpus_per_engine": 2}, "--gpus-per-engine 2: an engine of vectors runs on one GPU"),
    ],
)
def test_wrong_options(
    internvit: Path, tmp_path: Path, options: dict[str, Any], match: str
) -> None:
    assert re.search(match, refused(internvit, tmp_path, options))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"labels": ["a"]}, "--labels a: give at least two labels"),
        ({"labels": ["a", "b"], "template": ["a photo"]}, "--template 'a photo': write {} once"),
        (
            {"labels": ["a", "b"], "pooling": "class"},
            "only InternVL-14B-224px with --pooling c or g",
        ),
        ({"labels": ["a", "b"], "truth_column": "truth"}, "--truth-column truth: no such column"),
        ({"labels": ["a", "b"], "benchmark": "imagenet"}, "--benchmark imagenet has no effect"),
        ({"labels": ["a", "b"], "text_column": "text"}, "labels are for pictures"),
        ({"labels": ["a", "b"], "taxonomy": "x.yaml"}, "two lists of labels"),
    ],
)
def test_wrong_labels(internvl: Path, tmp_path: Path, options: dict[str, Any], match: str) -> None:
    assert match in refused(internvl, tmp_path, options)


def test_texts_share_a_space_with_pictures_by_c_and_g_alone(internvl: Path, tmp_path: Path) -> None:
    assert load_encoder(str(internvl)).reads_texts
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text('{"text": "a"}\n')
    values = {
        "input": str(manifest),
        "output": str(tmp_path / "out"),
        "model": str(internvl),
        "text_column": "text",
    }
    with pytest.raises(
        ConfigurationError, match="texts and pictures share a space only by c and g"
    ):
        check_job(
            build_options(EmbedJobOptions, values | {"pooling": "class"}), EmbedJobOptions.make_task
        )


def test_every_token_of_a_picture(internvit: Path, tmp_path: Path) -> None:
    """The last hidden state, as the model has it: the class token and sixteen patches. The mean of
    the patches is what the mean gives."""
    rows = image_rows([picture((200, 20, 20)), b"no picture", picture((20, 20, 200))])
    settings: dict[str, Any] = {
        "model": str(internvit),
        "normalise": False,
        "engine_args": {"dtype": "float32"},
    }
    output = embedded(tmp_path / "none", rows, pooling="none", **settings)
    pooled = embedded(tmp_path / "mean", rows, pooling="mean", **settings)
    means = {row["id"]: row["vector"] for row in read(pooled, RESULTS)}
    found = {row["id"]: np.array(row["vectors"]) for row in read(output, RESULTS)}
    assert found.keys() == means.keys() == {"0", "2"}
    for name, states in found.items():
        assert states.shape == (17, 128)
        np.testing.assert_allclose(states[1:].mean(0), means[name], rtol=1e-4, atol=1e-5)
    schema = output.read_table(output.files(RESULTS)[0]).schema
    assert schema.field("vectors").type == pa.list_(pa.list_(pa.float32(), 128))
    assert json.loads(schema.metadata[METADATA_KEY])["pooling"] == "none"
    assert [row["id"] for row in read(output, ERRORS)] == ["1"]
    with pytest.raises(ConfigurationError, match="a vector of each token"):
        Embedded("--input", output.uri)


def test_every_token_in_half_precision(internvit: Path, tmp_path: Path) -> None:
    rows = image_rows([picture((200, 20, 20))])
    output = embedded(tmp_path, rows, pooling="none", model=str(internvit), vector_type="float16")
    (row,) = read(output, RESULTS)
    np.testing.assert_allclose(np.linalg.norm(row["vectors"], axis=1), 1, atol=2e-3)


def test_texts_by_a_server(tmp_path: Path) -> None:
    """A text of its own in each row; an empty one is the row's error; the prefix stands first."""
    rows = manifest_rows(["a", "b", "c"], text=["one", "", "two"])
    with ModelServer() as server:
        output = embedded(
            tmp_path,
            rows,
            model="tiny",
            engine="openai",
            base_url=server.url,
            text_column="text",
            text_prefix="query: ",
            normalise=False,
        )
        found = Embedded("--input", output.uri)
        (query,) = query_vectors(found, ["one"], [], base_url=server.url)
        with pytest.raises(ConfigurationError, match="these vectors are of texts alone"):
            query_vectors(found, [], ["a.png"], base_url=server.url)
        with pytest.raises(ConfigurationError, match="a server made these vectors"):
            query_vectors(found, ["one"], [])
    vectors = {row["id"]: row["vector"] for row in read(output, RESULTS)}
    assert vectors == {"a": vector_of("query: one"), "c": vector_of("query: two")}
    expected = np.array(vectors["a"])
    np.testing.assert_allclose(query, expected / np.linalg.norm(expected), rtol=1e-5)
    (error,) = read(output, ERRORS)
    assert (error["id"], error["kind"]) == ("b", "bad_row")


def test_a_server_s_vectors_without_a_prefix(tmp_path: Path) -> None:
    with ModelServer() as server:
        given: dict[str, Any] = {"engine": "openai", "base_url": server.url, "text_column": "text"}
        output = embedded(
            tmp_path, manifest_rows(["a"], text=["one"]), model="tiny", normalise=False, **given
        )
    (row,) = read(output, RESULTS)
    assert row["vector"] == vector_of("one")
