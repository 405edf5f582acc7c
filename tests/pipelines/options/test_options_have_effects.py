"""Every option of every command changes what a run is made of, or is refused or noted with the
reason."""

from __future__ import annotations

import ast
import functools
import json
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel
from safetensors.numpy import save_file

from internvl_ops.errors import ConfigurationError
from internvl_ops.tasks import Task
from pipelines.commands import evaluation, preview
from pipelines.commands.registry import COMMANDS
from pipelines.flags import flag, in_flags
from pipelines.options import several_tasks, tasks
from pipelines.options.command_line import MODES, build_options, groups
from pipelines.options.config_file import bare
from pipelines.options.embed_options import EmbedJobOptions
from pipelines.options.safe_options import safe_options
from pipelines.options.tasks.caption import make_caption
from testing.cluster import ROOT
from tests.pipelines.options.parts_of_a_run import built, plain

NANO = ROOT / "examples" / "nano" / "checkpoint"
JOBS: dict[str, tuple[Callable[..., Task], Any]] = {
    **{f"{name}_dataset": (row.task, None) for name, row in tasks.TASKS.items()},
    "annotate_dataset": (several_tasks.make_several, None),
    "embed_dataset": (EmbedJobOptions.make_task, None),
    "evaluate_model": (evaluation.make_evaluate, evaluation.plan_benchmark),
}
READS = {
    **{
        f"{name}_dataset": (*row.media, *(["text"] if row.text_alone else []))
        for name, row in tasks.TASKS.items()
    },
    "annotate_dataset": ("image", "document", "video"),
    "embed_dataset": ("image", "document", "video"),
    "evaluate_model": ("image", "video"),
}
# Options that act when the stages are made already, each with the test that shows what it does.
ACTS_LATER = {
    "output": "tests/pipelines/output/test_output.py",
    "overwrite": "tests/pipelines/output/test_resume.py",
    "refresh": "tests/pipelines/output/test_refresh.py",
    "retry_errors": "tests/pipelines/output/test_resume.py",
    "only": "tests/pipelines/output/test_redo.py",
    "only_in": "tests/jobs/test_again.py",
    "join": "tests/pipelines/output/test_redo.py",
    "keep_history": "tests/jobs/test_again.py",
    "fallback": "tests/jobs/test_again.py",
    "fallback_base_url": "tests/pipelines/wiring/test_fallbacks.py",
    "fallback_args": "tests/pipelines/wiring/test_fallbacks.py",
    "new_columns": "tests/pipelines/output/test_continuity.py",
    "max_error_rate": "tests/jobs/test_caption_ends.py",
    "file_mb": "tests/pipelines/output/test_writer.py",
    "shards": "tests/pipelines/commands/test_parts.py",
    "rows_per_file": "tests/pipelines/output/test_writer.py",
    "commit_seconds": "tests/pipelines/output/test_writer.py",
    "lora": "tests/internvl_ops/engines/test_lora.py",
    "ray_address": "tests/pipelines/options/test_command_line.py",
    "verbose": "tests/pipelines/test_cluster.py",
    "release": "tests/pipelines/commands/test_evaluation.py",
    "suite": "tests/pipelines/commands/test_suite.py",
    "beside": "tests/pipelines/commands/test_suite.py",
    "quiet": "tests/pipelines/report/test_progress.py",
    "openlineage": "tests/pipelines/report/test_lineage.py",
    "log_json": "tests/pipelines/report/test_logs.py",
    "autoscaling": "tests/pipelines/test_cluster.py",
    "gpu": "tests/pipelines/commands/test_estimate.py",
    "price_per_gpu_hour": "tests/pipelines/commands/test_estimate.py",
    "completion_tokens": "tests/pipelines/commands/test_estimate.py",
    "sample_rows": "tests/pipelines/commands/test_estimate.py",
}
# What they ask for may hold already, and need not be refused then: most checkpoints are tiled
# always.
MAY_HOLD = {"tiling"}
# Words that look like options and are those of other programs.
FOREIGN = {"--head", "--num-cpus", "--port", "--option"}


def options_of(job: str) -> type[BaseModel]:
    names = {row.script: row for row in COMMANDS.values()}
    found: type[BaseModel] = names[f"{job}.py"].options_class()
    return found


def names_of(cls: type[BaseModel]) -> list[str]:
    """The options that a command has."""
    return [name for names in groups(cls).values() for name in names]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifests of every kind, twice, and whatever an option may name."""
    folder = tmp_path_factory.mktemp("manifests")
    media = {"image": "a.png", "document": "a.pdf", "video": "a.mp4"}
    asked = {"question": "What is it?", "phrase": "a dog", "key": "k1"}
    rows: dict[str, dict[str, Any]] = {
        kind: {**asked, kind: name, f"other_{kind}": f"b{name}"} for kind, name in media.items()
    }
    rows["text"] = asked
    rows["evaluate_image"] = {
        "image": "a.png",
        "other_image": "b.png",
        "question": "?",
        "answers": ["a"],
        "key": "k",
    }
    rows["evaluate_video"] = {
        **{
            "video": "a.mp4",
            "other_video": "b.mp4",
            "question": "?",
            "answer": "a",
            "candidates": ["a", "b"],
        },
        **{"key": "k", "question_type": "Action Sequence"},
    }
    for kind, row in rows.items():
        for number in (1, 2):
            (folder / f"{kind}{number}.jsonl").write_text(json.dumps(row) + "\n")
    (folder / "headless.csv").write_text("a.png,what,yes\n")
    (folder / "annotations.json").write_text(
        '{"annotations": [{"question_id": 1, "answers": [{"answer": "x"}]}]}'
    )
    (folder / "root").mkdir()
    config = json.loads((NANO / "config.json").read_text())
    light(folder / "model", config)
    (folder / "checkpoint").symlink_to(folder / "model")
    light(folder / "static", config | {"dynamic_image_size": False})
    return folder


def light(folder: Path, config: dict[str, Any]) -> None:
    """Nano-InternVL with hardly any weights, which every build reads to tell them from others."""
    folder.mkdir()
    for file in NANO.iterdir():
        (folder / file.name).symlink_to(file)
    for name in ("config.json", "model.safetensors"):
        (folder / name).unlink()
    (folder / "config.json").write_text(json.dumps(config))
    save_file({"weight": np.zeros(1, np.float32)}, folder / "model.safetensors")


def base(job: str, kind: str, folder: Path) -> dict[str, Any]:
    """The fewest options with which a job runs."""
    given = f"evaluate_{kind}" if job == "evaluate_model" else kind
    values = {
        "input": str(folder / f"{given}1.jsonl"),
        "output": str(folder / "out"),
        "model": str(folder / "model"),
    }
    if (name := job.removesuffix("_dataset")) in tasks.TASKS:
        values |= tasks.TASKS[name].examples[0].options  # those that a task cannot do without
    if job == "annotate_dataset" and kind == "video":
        values["tasks"] = "caption,ask"
    if job == "evaluate_model":
        values["benchmark"] = "mvbench" if kind == "video" else "docvqa"
    return values


def samples(
    cls: type[BaseModel], name: str, kind: str, values: Mapping[str, Any], folder: Path
) -> list[Any]:
    """Values of an option other than the one it has, as a user gives them."""
    given: dict[str, list[Any]] = {
        "input": [values["input"].replace("1.jsonl", "2.jsonl")] if "input" in values else [],
        "output": [str(folder / "elsewhere")],
        "model": [str(folder / "checkpoint")],
        "media_root": [str(folder / "root")],
        "id_column": ["key"],
        **{f"{medium}_column": [f"other_{medium}"] for medium in ("image", "document", "video")},
        "columns": ["image,question,title", "question"],
        "where": ["question = 'Why?'"],
        "allow": [["s3://elsewhere/"]],
        "http_header": [["User-Agent=Someone"]],
        "retry_errors": [True, ["corrupt"]],
        "base_url": ["http://127.0.0.1:9/v1"],
        "engine_args": [{"dtype": "float32"}],
        "lora": ["/no/such/adapter"],
        "pages": ["1-3"],
        "json_schema": ['{"type": "object"}'],
        "gpus_per_engine": [0, 2],
        "tasks": ["ocr"],
        "ray_address": ["head:6379"],
        "gpu": ["a100"],
        "annotations": [str(folder / "annotations.json")],
        "split": ["train"],
        "end": [7.5],
        "benchmark": ["chartqa"],
        "drawings": [str(folder / "root")],
        "inputs": [[str(folder / "root")]],
        "prompt": ["Find {}"],
        "pooling": ["class", "mean"],
    }
    if name in given:
        return given[name]
    field = cls.model_fields[name]
    annotation, now = bare(field.annotation), values.get(name, field.default)
    if annotation is bool:
        return [not now]
    if typing.get_origin(annotation) is typing.Literal:
        return [value for value in typing.get_args(annotation) if value != now]
    if typing.get_origin(annotation) is tuple:
        return [["something"]]
    if annotation is int:
        return [3 if now != 3 else 4]
    return [0.5 if now != 0.5 else 0.7] if annotation is float else ["something"]


# What an option has to stand beside to matter.
BESIDE: dict[str, list[dict[str, Any]]] = {
    "n": [{"temperature": 0.7}],
    "base_url": [{"engine": "openai", "base_url": "http://127.0.0.1:8/v1"}],
    "tiling": [{"model": "static"}],
    "json_schema": [{"ocr_format": "json", "json_schema": '{"type": "array"}'}],
    "ocr_format": [{"json_schema": '{"type": "object"}'}],
    "columns": [
        {"input": "headless.csv", "columns": f"image,question,{name}"}
        for name in ("other", "answers", "phrase")
    ],
    "blocks": [{"ocr_format": "markdown"}],
    "choices": [{"tasks": "caption,ask"}],
    "prompt": [{"tasks": "ask"}],
    "top_p": [{"temperature": 0.7}],
    "top_k": [{"temperature": 0.7}],
    "seed": [{"temperature": 0.7}],
    "retry_cut": [{"retries": 1}],
    "annotations": [{"benchmark": "textvqa"}],
    "end": [{"start": 1}],
    "documents": [{"tasks": "ocr"}],
}


def cases(
    name: str, values: dict[str, Any], cls: type[BaseModel], folder: Path
) -> Iterator[dict[str, Any]]:
    """The options to compare with: the fewest, and with others beside them."""
    yield values
    for beside in BESIDE.get(name, ()):
        if set(beside) <= set(names_of(cls)):
            placed = {
                key: str(folder / value) if key in ("model", "input") else value
                for key, value in beside.items()
            }
            yield values | placed


Outcome = typing.Literal["effect", "refused", "nothing"]


def outcome(
    build: Callable[[Mapping[str, Any]], Any], before: Any, values: dict[str, Any], name: str
) -> tuple[Outcome, str]:
    """What became of an option, and the message where it was refused."""
    try:
        after = build(values)
    except ConfigurationError as error:
        said = in_flags(str(error))
        return (
            "refused" if flag(name) in said or f"--no-{flag(name)[2:]}" in said else "effect"
        ), said
    return ("nothing" if after == before else "effect"), ""


def look(
    cls: type[BaseModel],
    build: Callable[[Mapping[str, Any]], Any],
    values: dict[str, Any],
    kind: str,
    folder: Path,
) -> dict[str, list[tuple[Any, Outcome, str]]]:
    """Each option's values with what became of them."""
    found: dict[str, list[tuple[Any, Outcome, str]]] = {}
    built_before: dict[str, Any] = {}
    for name in names_of(cls):
        for beside in cases(name, values, cls, folder):
            key = json.dumps(beside, sort_keys=True)
            if key not in built_before:
                try:
                    built_before[key] = build(beside)
                except ConfigurationError as error:
                    built_before[key] = error
            if isinstance(built_before[key], ConfigurationError):
                assert beside is not values, built_before[key]
                continue  # what stands beside it is not for this command
            for value in samples(cls, name, kind, beside, folder):
                became = outcome(build, built_before[key], beside | {name: value}, name)
                found.setdefault(name, []).append((value, *became))
    return found


@functools.cache
def _seen() -> dict[tuple[str, str], dict[str, list[tuple[Any, Outcome, str]]]]:
    return {}


def seen(job: str, kind: str, folder: Path) -> dict[str, list[tuple[Any, Outcome, str]]]:
    if (job, kind) not in _seen():
        make_task, make_plan = JOBS[job]
        cls = options_of(job)
        build = functools.partial(built, cls, make_task=make_task, make_plan=make_plan)
        _seen()[job, kind] = look(cls, build, base(job, kind, folder), kind, folder)
    return _seen()[job, kind]


EVERY = [(job, kind) for job, kinds in READS.items() for kind in kinds]


@pytest.mark.parametrize(("job", "kind"), EVERY)
def test_no_option_is_passed_over(job: str, kind: str, folder: Path) -> None:
    idle = [
        f"{flag(name)} {value}"
        for name, tried in seen(job, kind, folder).items()
        for value, became, _ in tried
        if became == "nothing" and name not in {*ACTS_LATER, *MAY_HOLD}
    ]
    assert idle == []


@pytest.mark.parametrize(("job", "kind"), EVERY)
def test_what_a_plan_shows_may_be_given_again(job: str, kind: str, folder: Path) -> None:
    make_task, make_plan = JOBS[job]
    cls, values = options_of(job), base(job, kind, folder)
    every = {
        name: value
        for name, value in safe_options(build_options(cls, values)).items()
        if name in names_of(cls)
    }
    assert built(cls, values | every, make_task, make_plan) == built(
        cls, values, make_task, make_plan
    )


@functools.cache
def attributes_read() -> frozenset[str]:
    """Names of all attributes in the code outside of the options."""
    files = [path for path in (ROOT / "pipelines").rglob("*.py") if path.parent.name != "options"]
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text())))
    return frozenset(node.attr for node in nodes if isinstance(node, ast.Attribute))


@pytest.mark.parametrize("name", ACTS_LATER)
def test_what_acts_later_is_read_there_and_tested(name: str) -> None:
    assert name in attributes_read()
    assert re.search(rf"\b{name}\b|{flag(name)}\b", (ROOT / ACTS_LATER[name]).read_text())


def preview_parts(values: Mapping[str, Any]) -> Any:
    """What a preview is made of."""
    options = build_options(preview.PreviewOptions, dict(values))
    made = preview.prepared_preview(options)()
    each = [plain(made.preparer_maker(uri)) for uri in options.inputs]
    tokenizer = made.generator_maker().keywords | {"tokenizer": None}
    return (
        each,
        plain(vars(made) | {"_tokenizer": None, "_options": None}),
        plain(tokenizer),
        options.drawings,
    )


@pytest.mark.parametrize("task", ["caption", "ocr", "ground", "ask"])
@pytest.mark.parametrize("kind", ["image", "document", "video"])
def test_the_preview_passes_no_option_over(task: str, kind: str, folder: Path) -> None:
    if kind == "video" and task in ("ocr", "ground"):
        return
    suffix = {"image": "png", "document": "pdf", "video": "mp4"}[kind]
    for name in "ab":
        (folder / f"{name}.{suffix}").touch()
    values: dict[str, Any] = {
        "inputs": [str(folder / f"a.{suffix}")],
        "model": str(folder / "model"),
        "task": task,
    }
    values |= {"ground": {"phrase": ["a dog"]}, "ask": {"prompt": "What is it?"}}.get(task, {})
    found = look(preview.PreviewOptions, preview_parts, values, kind, folder)
    idle = [
        (name, value)
        for name, tried in found.items()
        for value, became, _ in tried
        if became == "nothing"
    ]
    assert [one for one in idle if one[0] not in {"lora", *MAY_HOLD}] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("tiling", "always"), ("special_tokens", "recognised"), ("jpeg_scaling", True),
     ("resize", "exact"), ("min_tiles", 2), ("lora", "/x"), ("trust_remote_code", True),
     ("combine_images", True), ("gpus_per_engine", 2)],
)  # fmt: skip
def test_what_a_server_does_itself_is_refused(name: str, value: Any, folder: Path) -> None:
    values = base("caption_dataset", "image", folder)
    values |= {"engine": "openai", "base_url": "http://127.0.0.1:9/v1", name: value}
    with pytest.raises(ConfigurationError, match=flag(name)):
        built(options_of("caption_dataset"), values, make_caption)


@pytest.mark.parametrize(("job", "kind"), EVERY)
def test_messages_name_options_that_the_command_has(job: str, kind: str, folder: Path) -> None:
    known = (
        {flag(name) for name in names_of(options_of(job))}
        | {f"--{mode}" for mode in MODES}
        | {"--config"}
    )
    for tried in seen(job, kind, folder).values():
        for _, _, said in tried:
            words = re.findall(r"--[a-z][a-z-]*[a-z]", said)
            named = {word if word in known else re.sub("^--no-", "--", word) for word in words}
            assert named - known - FOREIGN == set(), said
