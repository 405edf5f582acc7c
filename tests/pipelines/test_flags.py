"""A person who runs a job reads options where internvl_ops names keyword arguments."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import internvl_ops
from internvl_ops.errors import ConfigurationError, UnitError, keyword
from pipelines import columns as c
from pipelines.commands.preview import PreviewOptions
from pipelines.drive import cause
from pipelines.flags import in_flags, option_of
from pipelines.options.benchmark_options import EvaluateOptions
from pipelines.options.command_line import exit_with
from pipelines.options.embed_options import EmbedOptions
from pipelines.options.job_options import JobOptions
from pipelines.options.several_tasks import AnnotateOptions
from pipelines.options.tasks import TASKS

COMMANDS = (
    JobOptions,
    EvaluateOptions,
    PreviewOptions,
    AnnotateOptions,
    EmbedOptions,
    *(task.options for task in TASKS.values()),
)
OF_A_SERVER = {"trust_request_mm_kwargs"}  # an option of `vllm serve`
NO_ARGUMENT = {"annotations", "where"} | OF_A_SERVER  # only a job reads annotations and manifests


def trees() -> list[ast.Module]:
    return [
        ast.parse(path.read_text()) for path in Path(internvl_ops.__file__).parent.rglob("*.py")
    ]


def keywords() -> set[str]:
    """Every keyword that a message of internvl_ops names."""
    calls = [node for tree in trees() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [
        call.args[0]
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "keyword"
    ]
    assert all(isinstance(name, ast.Constant) for name in named), (
        "a keyword is a literal, so that it can be found"
    )
    return {str(name.value) for name in named if isinstance(name, ast.Constant)}


def test_every_keyword_is_an_option() -> None:
    options = {name for command in COMMANDS for name in command.model_fields}
    assert {option_of(name) for name in keywords()} - options == OF_A_SERVER


def test_every_keyword_is_an_argument() -> None:
    nodes = [node for tree in trees() for node in ast.walk(tree)]
    arguments = {node.arg for node in nodes if isinstance(node, ast.arg)}
    arguments |= {
        node.target.id
        for node in nodes
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assert keywords() - arguments == NO_ARGUMENT


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (keyword("max_tiles"), "--max-tiles"),
        (keyword("max_tiles", 12), "--max-tiles 12"),
        (keyword("tensor_parallel", 2), "--gpus-per-engine 2"),
        (keyword("headers", "Authorization") + "=…", "--http-header Authorization=…"),
        (keyword("prompt", repr("a `model`=b")), "--prompt 'a `model`=b'"),
    ],
)
def test_spelling(said: str, read: str) -> None:
    assert in_flags(f"({said})") == f"({read})"


def test_errors_name_options() -> None:
    cell = c.error_value(UnitError("render", "prompt_too_long", f"Lower {keyword('max_tiles')}."))
    assert cell["message"] == "Lower --max-tiles."


def test_the_last_line_of_a_job_names_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        exit_with(
            ConfigurationError(f"{keyword('base_url', 'http://user:word@host/v1')} is no address.")
        )
    assert capsys.readouterr().err.endswith("error: --base-url http://host/v1 is no address.\n")


def test_what_ended_a_worker_names_options() -> None:
    said = (
        f"Traceback\n  File\ninternvl_ops.errors.ConfigurationError: {keyword('model', 'x')}: is a"
        " file.\n"
    )
    assert (
        cause(RuntimeError(said)) == "internvl_ops.errors.ConfigurationError: --model x: is a file."
    )
