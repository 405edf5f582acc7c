"""The tutorial of own tasks: its task by itself, and as each command knows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.own_task import ColourOptions, colours
from internvl_batch import Answered, ConfigurationError, Dialogue, RegisteredTask, Task, UnitError
from pipelines.commands.registry import COMMANDS
from pipelines.options.job_options import JobOptions
from pipelines.options.own_tasks import find_task, named_tasks
from pipelines.options.tasks import TASKS

NAME = "examples.own_task:colours"
NEEDED = {"input": "in", "output": "out", "model": "m"}
ENTRY_POINT = """[internvl_batch.tasks]
tints = examples.own_task:colours
broken = examples.own_task:no_such_object
"""


def task(**options: Any) -> Task:
    cls = colours.job_options()
    return colours.task(cls.model_validate(NEEDED | options), "image", ())


def parsed(answer: str, **options: Any) -> Any:
    made = task(**options)
    (conversation,) = made.converse({})
    return made.parse(Answered([Dialogue(conversation, [answer])], 100, 100))


def test_an_answer_becomes_columns() -> None:
    assert parsed("A red ball on a blue, blue table.") == {
        "colours": ["red", "blue"],
        "first_colour": "red",
    }
    assert parsed("A red ball.", colours="blue") == {"colours": [], "first_colour": None}


def test_an_answer_that_says_nothing_is_an_error_of_its_row() -> None:
    with pytest.raises(UnitError, match="bad_answer"):
        parsed("…")


def test_a_row_may_have_its_own_question() -> None:
    assert task().converse({"question": "Which colours?"})[0].questions == ("Which colours?",)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("run", ["--task", NAME]),
        ("annotate", [f"--tasks=caption,{NAME}"]),
        ("preview", ["--task", NAME, "a.png"]),
    ],
)
def test_every_command_has_its_options(command: str, arguments: list[str]) -> None:
    assert "colours" in COMMANDS[command].options_class(arguments).model_fields
    assert "colours" not in COMMANDS[command].options_class().model_fields


def test_several_tasks_have_its_columns_beside_theirs() -> None:
    cls = COMMANDS["annotate"].options_class(["--tasks", f"caption,{NAME}"])
    options = cls.model_validate({**NEEDED, "tasks": f"caption,{NAME}", "colours": "red"})
    made = options.make_task("image", ())
    assert made.columns.names == [
        "caption",
        "caption_response",
        "colours",
        "first_colour",
        "colours_response",
    ]


def test_a_config_file_names_it_too(tmp_path: Path) -> None:
    config = tmp_path / "job.yaml"
    config.write_text(f"task: {NAME}\ncolours: red\n")
    assert named_tasks(["--config", str(config)], "task") == [NAME]
    assert named_tasks(["--config", str(config), "--task", "other:task"], "task") == ["other:task"]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with entry points."""
    folder = tmp_path / "colours-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: colours\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(ENTRY_POINT)
    monkeypatch.syspath_prepend(tmp_path)
    find_task.cache_clear()
    yield
    find_task.cache_clear()


@pytest.mark.usefixtures("installed")
def test_an_installed_package_names_it() -> None:
    assert find_task("tints") is colours


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tnts", r"'tnts' is no task; allowed are caption, .* tints.*Did you mean tints\?"),
        ("broken", "cannot be imported: .*no_such_object"),
        ("no_such_module:x", "cannot be imported: No module named 'no_such_module'"),
        ("examples.own_task:COLUMNS", "is a Schema; a RegisteredTask or a Task"),
    ],
)
def test_a_task_that_is_not_there_is_refused(name: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        find_task(name)


def test_a_column_that_every_result_has_is_refused() -> None:
    import pyarrow as pa

    one = task()
    taken = Task("mine", "?", pa.schema([("width", pa.string())]), one.converse, one.parse, 5)
    with pytest.raises(ConfigurationError, match="column 'width'"):
        RegisteredTask.of(taken).task(JobOptions.model_validate(NEEDED), "image", ())


def test_an_option_that_the_command_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import examples.own_task as module

    class Clashing(ColourOptions):
        """Clashing"""

        prompt: str = ""

    monkeypatch.setattr(
        module, "clashing", RegisteredTask("clashing", Clashing, colours.make, 6), raising=False
    )
    with pytest.raises(ConfigurationError, match="option prompt, which the command has already"):
        COMMANDS["run"].options_class(["--task", "examples.own_task:clashing"])


def test_no_task_of_this_package_is_replaced() -> None:
    assert colours.name not in TASKS
