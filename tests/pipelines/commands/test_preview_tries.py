"""Several prompts and models over the same units, in this process: real stages, and a server
without a model."""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from internvl_ops.errors import ConfigurationError
from internvl_ops.tasks import caption
from pipelines.commands.preview_job import job_yaml
from pipelines.commands.preview_options import TriesOptions, job_class, run
from pipelines.commands.preview_tries import Try
from pipelines.commands.preview_words import in_words, printable
from pipelines.options.command_line import build_options
from pipelines.options.config_file import read_config
from testing.model_server import ModelServer, completion, says

MODELS = says({"data": [{"id": name, "owned_by": "test"} for name in ("one", "two")]})
HOSTILE = "<script>alert(1)</script>\x1b[2J"


def asked_of(body: Any) -> str:
    """The text of a request's question."""
    content = body["messages"][-1]["content"]
    return (
        content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    )


async def answer(request: web.Request) -> web.Response:
    """Says which model was asked what; one prompt fails, one has an answer that is no text to
    trust."""
    body = await request.json()
    asked = asked_of(body)
    if "FAIL" in asked:
        return web.json_response(
            {"error": {"message": "no", "type": "Error", "code": 400}}, status=400
        )
    return web.json_response(
        completion(HOSTILE if "HOSTILE" in asked else f"{body['model']} on {asked.strip()}")
    )


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        server.models, server.otherwise = MODELS, answer
        yield server


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for number in range(6):
        Image.new("RGB", (90 + number, 60), (200, 30, 30)).save(tmp_path / "in" / f"{number}.png")
    return tmp_path


def preview(server: ModelServer, **values: Any) -> int:
    given = {"engine": "openai", "base_url": server.url, "model": ["one"], "retries": 0} | values
    return run(build_options(TriesOptions, given), "run")


def test_prompts_and_models_stand_side_by_side(
    server: ModelServer, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(pictures / "in" / f"{number}.png") for number in (3, 1)]
    assert preview(server, inputs=files, model=["one", "two"], prompt=["Why?", ""]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    third, first = said.split("──")[1:]
    assert "93x60" in third
    assert "91x60" in first
    columns = re.search(r"1 {2}one on Why\? +2 {2}one on \S+", third)
    assert columns, "two answers on one line"
    assert re.search(r"^1 {2}model: one; prompt: Why\?$", said, re.MULTILINE)
    assert re.search(r"^4 {2}model: two; prompt: [^\n]*\n\(the task's own\)$", said, re.MULTILINE)
    assert "The same answer by all: 0 of 2 units." in said
    assert len(server.bodies) == 8


def test_a_sample_is_drawn_by_its_seed(
    server: ModelServer, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def drawn(seed: int) -> list[str]:
        assert preview(server, input=str(pictures / "in"), sample=3, sample_seed=seed) == 0
        return re.findall(r"── (\S+)", capsys.readouterr().out)

    samples = {seed: drawn(seed) for seed in range(4)}
    assert all(len(set(names)) == 3 and names == sorted(names) for names in samples.values())
    assert drawn(0) == samples[0]
    assert len({tuple(names) for names in samples.values()}) > 1


def test_a_prompt_that_fails_is_said_beside_the_others(
    server: ModelServer, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert preview(server, input=str(pictures / "in"), sample=2, prompt=["FAIL", "Why?"]) == 1
    said = capsys.readouterr().out
    assert "0 answers" in said
    assert "2 failed" in said
    assert said.count("one on Why?") == 2


def test_answers_are_text_on_the_terminal_and_on_the_page(
    server: ModelServer, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "<b>x.png"
    (pictures / "in" / "0.png").rename(pictures / "in" / name)
    assert preview(server, inputs=[f"in/{name}"], prompt=["HOSTILE", "Why?"], page="p.html") == 0
    assert "\x1b" not in capsys.readouterr().out
    page = (pictures / "p.html").read_text()
    assert "<script" not in page
    assert html.escape("<script>alert(1)</script>") in page
    assert f"in/{html.escape(name)}" in page
    assert "data:image/jpeg;base64," in page
    assert not re.search(r"(src|href)=.(http|//)", page)


def test_typed_prompts_are_asked_of_all_units_and_one_is_written(
    server: ModelServer,
    pictures: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = [
        "What is it?",
        "",
        ":write 7",
        ":write 2",
        ":all",
        ":page p.html",
        "FAIL",
        ":quit",
        "never asked",
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    assert preview(server, input=str(pictures / "in"), sample=2, interactive=True) == 1
    said = capsys.readouterr()
    assert "7: no such number" in said.err
    assert said.out.count("one on What is it?") == 4  # when it was typed, and with :all
    assert "2  prompt: What is it?" in said.out
    assert len(server.bodies) == 6
    assert (pictures / "p.html").exists()
    values = read_config("job.yaml", job_class("caption"))
    options = build_options(job_class("caption"), values | {"output": "out"})
    assert (options.prompt, options.model, options.input) == (
        "What is it?",
        "one",
        str(pictures / "in"),
    )


def test_a_question_is_typed_first_where_the_task_has_no_prompt(
    server: ModelServer,
    pictures: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("How many?\n"))
    assert preview(server, input=str(pictures / "in"), sample=2, task="ask", interactive=True) == 0
    assert {asked_of(body).strip() for body in server.bodies} == {"How many?"}
    assert "1  prompt: How many?" in capsys.readouterr().out


def test_rows_of_an_output_are_judged(
    server: ModelServer, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def number(request: web.Request) -> web.Response:
        body = await request.json()
        said = "3" if "a cat" in asked_of(body) else "9"
        first = {"token": said, "logprob": 0.0}
        chances = (
            {"content": [{**first, "top_logprobs": [first]}]} if body.get("top_logprobs") else None
        )
        return web.json_response(completion(said, logprobs=chances))

    server.otherwise = number
    manifest = pictures / "texts.jsonl"
    manifest.write_text(
        "".join(json.dumps({"id": text, "caption": text}) + "\n" for text in ("a cat", "a dog"))
    )
    assert preview(server, input=str(manifest), task="score") == 0
    said = capsys.readouterr().out
    assert re.findall(r"── (.*)\n1 {2}(\d+)", said) == [("a cat", "3"), ("a dog", "9")]
    assert "mean score 6.00" in said


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "name images, PDFs or videos, or a manifest by --input"),
        ({"inputs": ["in/0.png"], "input": "in"}, "two inputs"),
        ({"inputs": ["in/9.png"]}, "in/9.png: no such file"),
        ({"inputs": ["in/0.png"], "sample": 3}, "--sample 3 has no effect"),
        ({"inputs": ["in/0.png"], "task": "score"}, "by --input"),
        ({"input": "in", "prompt": ["a", "a"]}, "--prompt: the same value twice"),
        ({"input": "in", "choose": 2}, "--choose 2.*from 1 to 1"),
        ({"input": "in", "choose": 1, "job": "there.yaml"}, "--job there.yaml is there already"),
        ({"input": "in", "page": "no/p.html"}, "--page no/p.html: its folder"),
        ({"input": "in", "interactive": True, "model": ["one", "two"]}, "--interactive"),
        ({"input": "asked.jsonl", "prompt": ["a", "b"]}, "column question"),
        ({"input": "empty.jsonl"}, "no rows"),
        ({"input": "in", "model": ["three"]}, "three"),
        ({"input": "in", "style": "dense", "task": "ask", "prompt": ["a"]}, "--style"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_asked(
    values: dict[str, Any], message: str, server: ModelServer, pictures: Path
) -> None:
    Path("there.yaml").touch()
    Path("asked.jsonl").write_text('{"id": "a", "image": "in/0.png", "question": "Why?"}\n')
    Path("empty.jsonl").touch()
    with pytest.raises(ConfigurationError, match=message):
        preview(server, **values)
    assert server.bodies == []


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(prompt=TEXTS, root=TEXTS, temperature=st.floats(0, 2), stop=st.lists(TEXTS, max_size=3))
def test_a_written_job_has_the_options_of_what_was_tried(
    prompt: str,
    root: str,
    temperature: float,
    stop: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    given = {
        "input": f"in/{root}",
        "output": "x",
        "model": "m",
        "prompt": prompt,
        "temperature": temperature,
    }
    given |= {
        "stop": tuple(stop),
        "pdf_password": "secret-word",
        "engine_args": {"dtype": "float32"},
        "style": "dense",
    }
    options = build_options(job_class("caption"), given)
    path = tmp_path_factory.getbasetemp() / "job.yaml"
    text = job_yaml(Try(1, options, None, caption()), of_files=False)
    path.write_text(text, encoding="utf-8")
    assert "secret-word" not in text
    read = build_options(
        job_class("caption"), read_config(str(path), job_class("caption")) | {"output": "x"}
    )
    assert read == options.model_copy(update={"pdf_password": None})


def test_numbers_labels_and_boxes_are_said_in_words() -> None:
    scored = {"score": 7.0, "score_mean": 6.84, "reason": "Clear."}
    assert in_words(scored, list(scored)) == "7 (mean 6.84)\nClear."
    labels = [{"label": name, "probability": chance} for name, chance in (("a", 0.9), ("b", 0.1))]
    assert in_words({"label": "a", "labels": labels}, ["label", "labels"]) == "a (a 0.90, b 0.10)"
    box = {"label": "dog", "x1": 1.2, "y1": 2, "x2": 30, "y2": 40}
    assert in_words({"boxes": [box]}, ["boxes"]) == "dog: 1, 2 to 30, 40"
    assert in_words({"colour": "red", "other": None}, ["colour", "other"]) == "colour: red"


@given(st.text())
def test_what_is_printed_holds_no_command_for_the_terminal(text: str) -> None:
    shown = printable(text)
    assert not set(shown) & {chr(code) for code in [*range(9), *range(11, 32), *range(127, 160)]}
    assert printable(shown) == shown
