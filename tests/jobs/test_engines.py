"""The jobs on each engine: the same answers for the same checkpoint, and an endpoint that is away
for a while."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from testing import commands
from testing.commands import Done
from testing.model_server import ModelServer, refuses, says
from tests.jobs.output import read_output

FLOAT32 = ("--engine-args", '{"dtype": "float32"}')
# Whether an answer of random weights goes in circles is no question of the engine, and another draw
# would differ.
AS_IT_IS = ("--retries", "0")


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of several kinds and one that is none, and manifests of them."""
    folder = tmp_path_factory.mktemp("media")
    upright = Image.effect_mandelbrot((331, 223), (-2, -1.2, 1, 1.2), 60).convert("RGB")
    upright.save(folder / "plain.jpg", quality=90)
    upright.save(folder / "plain.png")
    upright.resize((90, 100)).save(folder / "small.webp", lossless=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.save(folder / "turned.jpg", exif=exif)
    see_through = upright.convert("RGBA")
    see_through.putalpha(Image.linear_gradient("L").resize(upright.size))
    see_through.save(folder / "transparent.png")
    (folder / "none.jpg").write_bytes(b"not a picture")
    names = sorted(path.name for path in folder.iterdir())
    write(folder / "captions.jsonl", [{"id": name, "image": name} for name in names])
    return folder


def write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def run(job: str, manifest: Path, output: Path, model: Path | str, *more: str) -> Done:
    where = ("--input", manifest, "--output", output, "--model", model)
    return commands.run(f"jobs/{job}_dataset.py", *where, *more)


def run_here(job: str, manifest: Path, output: Path, model: Path | str, *more: str) -> Done:
    where = ("--input", manifest, "--output", output, "--model", model)
    return commands.run_here(f"{job}_dataset.py", *where, *more)


def results(done: Done, output: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    assert done.returncode == 0, done.stdout + done.stderr
    found, errors = read_output(output)
    return found.set_index("id").sort_index(), errors


def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{found.getsockname()[1]}/v1"


@pytest.mark.slow
def test_captions_on_every_engine(
    media: Path, tiny_checkpoint: Path, tiny_server: str, tmp_path: Path
) -> None:
    found = {}
    for engine in ("vllm", "transformers"):
        done = run("caption", media / "captions.jsonl", tmp_path / engine, tiny_checkpoint,
                   "--engine", engine, *FLOAT32, *AS_IT_IS)  # fmt: skip
        found[engine] = results(done, tmp_path / engine)
    endpoint = ("--engine", "openai", *AS_IT_IS, "--base-url")
    away = run("caption", media / "captions.jsonl", tmp_path / "openai", tiny_checkpoint, *endpoint,
               nobody(), "--engine-args", '{"away_s": 1}')  # fmt: skip
    assert away.returncode == 1
    assert "is away" in away.stdout + away.stderr
    assert "Traceback" not in away.stdout + away.stderr
    # The same command with a server that is there goes on.
    done = run(
        "caption",
        media / "captions.jsonl",
        tmp_path / "openai",
        tiny_checkpoint,
        *endpoint,
        tiny_server,
    )
    found["openai"] = results(done, tmp_path / "openai")

    expected, _ = found["vllm"]
    assert len(expected) == 5
    for engine, (rows, errors) in found.items():
        assert list(rows.index) == list(expected.index), engine
        for column in ("width", "height", "prompt_tokens", "completion_tokens", "finish_reason"):
            assert rows[column].tolist() == expected[column].tolist(), (engine, column)
        # Of a character that is cut off a server may leave out the bytes that are there.
        assert [text.rstrip("\ufffd") for text in rows.caption] == [
            text.rstrip("\ufffd") for text in expected.caption
        ]
        assert errors[["id", "stage", "kind"]].values.tolist() == [
            ["none.jpg", "decode", "unsupported"]
        ], engine
    assert found["openai"][0].num_tiles.isna().all()
    assert expected.loc["turned.jpg", ["width", "height"]].tolist() == [223, 331]


@pytest.mark.slow
def test_conversations_on_an_endpoint(
    media: Path, tiny_checkpoint: Path, tiny_server: str, tmp_path: Path
) -> None:
    """Several turns, several images, a text alone, and a form: as the engine in the job has
    them."""
    rows = [
        {"id": "one", "image": ["plain.png"], "question": ["What is it?"]},
        {
            "id": "turns",
            "image": ["plain.png"],
            "question": ["What is it?", "Are you sure?", "Why?"],
        },
        {"id": "two", "image": ["plain.png", "small.webp"], "question": ["Which is larger?"]},
        {
            "id": "tags",
            "image": ["plain.png", "small.webp"],
            "question": ["Is <image> larger than <image>?"],
        },
        {"id": "text", "image": None, "question": ["What is two and two?"]},
        {
            "id": "chosen",
            "image": ["plain.jpg"],
            "question": ["Is it green?"],
            "choices": ["yes", "no", "not sure"],
        },
        {"id": "tags lost", "image": ["plain.png"], "question": ["Compare <image> and <image>."]},
    ]
    write(media / "questions.jsonl", rows)
    asked = ("--max-new-tokens", "12", "--max-tiles", "4", "--log-probs", *AS_IT_IS)
    here = run(
        "ask", media / "questions.jsonl", tmp_path / "vllm", tiny_checkpoint, *FLOAT32, *asked
    )
    there = run("ask", media / "questions.jsonl", tmp_path / "openai", tiny_checkpoint, "--engine",
                "openai", "--base-url", tiny_server, *asked)  # fmt: skip
    expected, refused = results(here, tmp_path / "vllm")
    given, also_refused = results(there, tmp_path / "openai")
    assert list(given.index) == list(expected.index) == sorted(row["id"] for row in rows[:-1])
    assert refused[["id", "kind"]].values.tolist() == also_refused[["id", "kind"]].values.tolist()
    # The later turns of random weights follow an answer that may be cut within a character.
    for name in ("one", "two", "tags", "text", "chosen"):
        assert given.answer[name].rstrip("\ufffd") == expected.answer[name].rstrip("\ufffd")
        assert given.prompt_tokens[name] == expected.prompt_tokens[name]
        assert given.mean_logprob[name] == pytest.approx(expected.mean_logprob[name], abs=1e-3)
    assert [turn["question"] for turn in given.turns["turns"]] == rows[1]["question"]


@pytest.mark.slow
def test_an_endpoint_that_refuses_the_key_ends_the_job(media: Path, tmp_path: Path) -> None:
    with ModelServer() as server:
        server.otherwise = refuses(401, "who are you?")
        done = run("caption", media / "captions.jsonl", tmp_path / "out", "tiny", "--engine",
                   "openai", "--base-url", server.url)  # fmt: skip
    assert done.returncode == 1
    assert "OPENAI_API_KEY" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.usefixtures("ray_session")
def test_a_server_without_a_checkpoint_here(media: Path, tmp_path: Path) -> None:
    """The model is whatever the server calls it; rubbish costs the row that met it."""
    with ModelServer() as server:
        server.script = [says("rubbish")]
        where = ("--engine", "openai", "--base-url", server.url)
        once = ("--engine-args", '{"attempts": 1, "streams": false}')
        manifest = media / "captions.jsonl"
        done = run_here("caption", manifest, tmp_path / "out", "tiny", *where, *once)
    found, errors = results(done, tmp_path / "out")
    assert found.caption.tolist() == ["A square."] * 4
    assert sorted(errors.kind) == ["engine_failed", "unsupported"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--engine", "openai"), "--base-url"),
        (("--engine", "openai", "--base-url", "here"), "--base-url here"),
        (("--base-url", "http://localhost:8000/v1"), "--engine openai"),
        (
            (
                "--engine",
                "openai",
                "--base-url",
                "http://a/v1",
                "--engine-args",
                '{"dtype": "float32"}',
            ),
            "'dtype'",
        ),
        (
            ("--engine", "openai", "--base-url", "http://a/v1", "--combine-images"),
            "--combine-images",
        ),
        (("--engine", "transformers", "--gpus-per-engine", "2"), "--gpus-per-engine 2"),
    ],
)
def test_options_that_do_not_fit_together(media, tiny_checkpoint, tmp_path, more, said) -> None:
    done = run_here("caption", media / "captions.jsonl", tmp_path / "out", tiny_checkpoint, *more)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "out").exists()
