"""The commands, in one registry: `internvl-batch NAME` and `python jobs/X.py` run the same row.

A new command is a row in `COMMANDS`; that of a task follows from its row in
`pipelines.task_rows`. The options and the work of a command are named as ``module:object``
and imported only when the command runs, so `internvl-batch --help` imports none of them.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pipelines import interruption
from pipelines.task_rows import MODEL, TASK_ROWS

PROGRAM = "internvl-batch"


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        name: The word after ``internvl-batch``.
        summary: Its line in ``internvl-batch --help``.
        description: First paragraph of its own ``--help``.
        run: The function that does it, as ``module:object``. It is called with the options and the
            mode, and returns the exit status.
        options: Class of its options, or a function that returns the class for the name of the
            command, as ``module:object``. Empty if ``run`` reads the command line itself; it is
            then called with the program's name and the arguments.
        example: Lines of an example, without the name of the program.
        positional: Option that is given without a flag.
        modes: Whether the command has ``--dry-run`` and ``--estimate``.
        tasks_option: The option that names tasks, whose own options the command then has, too.
        script: File in ``jobs/`` that runs the same command; empty if there is none.
    """

    name: str
    summary: str
    description: str
    run: str
    options: str = ""
    example: tuple[str, ...] = ()
    positional: str | None = None
    modes: bool = False
    tasks_option: str = ""
    script: str = ""

    def options_class(self, argv: Sequence[str] = ()) -> Any:
        """The class of the options; with the options of those tasks of others that the arguments
        name."""
        found = _load(self.options)
        cls = found if isinstance(found, type) else found(self.name)
        if not self.tasks_option:
            return cls
        from pipelines.options.own_tasks import named_tasks, with_tasks

        return with_tasks(cls, named_tasks(argv, self.tasks_option), self.tasks_option)

    def parser_arguments(self, program: str) -> dict[str, Any]:
        """How `pipelines.options.command_line` reads the options if the user called ``program``."""
        example = " \\\n    ".join(self.example)
        return {
            "description": f"{self.description}\n\n{program} {example}",
            "positional": self.positional,
            "modes": self.modes,
            "program": program,
        }

    def execute(self, program: str, argv: Sequence[str]) -> int | None:
        """Does what the arguments ask for; returns the exit status, where None is 0."""
        if not self.options:
            return _load(self.run)(program, argv)
        from internvl_ops.errors import ConfigurationError
        from pipelines.options.command_line import exit_with, parse_options

        if self.tasks_option and os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # where a module:object may be
        try:
            cls = self.options_class(argv)
            options, mode = parse_options(cls, argv=list(argv), **self.parser_arguments(program))
            return _load(self.run)(options, mode)
        except ConfigurationError as error:
            exit_with(error)


def main(name: str = "", argv: Sequence[str] | None = None) -> NoReturn:
    """Runs a command and ends the process.

    Args:
        name: Name of the command, given by a script that runs only this one. Without it, the first
            argument is the name.
        argv: Arguments; those of the process by default.
    """
    interruption.install()  # before anything that takes long to import
    if "_ARGCOMPLETE" in os.environ and not name:
        from pipelines.commands.completion import complete

        complete()
    given = list(sys.argv[1:] if argv is None else argv)
    if name:
        sys.exit(COMMANDS[name].execute(Path(sys.argv[0]).name, given))
    word, *others = given or [""]
    if word in COMMANDS:
        sys.exit(COMMANDS[word].execute(f"{PROGRAM} {word}", others))
    if word in ("", "-h", "--help"):
        print(overview())
        sys.exit(0 if word else 2)
    from pipelines.options.messages import nearest, version

    if word == "--version":
        print(version())
        sys.exit(0)
    _refuse(
        f"{word}: no such command.{nearest(word, COMMANDS)} {PROGRAM} --help lists the commands."
    )


def overview() -> str:
    """The text of ``internvl-batch --help``."""
    width = max(map(len, COMMANDS))
    lines = [f"  {row.name:{width}}  {row.summary}" for row in COMMANDS.values()]
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND [options]",
            "",
            (
                "Captions, text, boxes and answers for millions of images, PDF pages and video\n"
                "clips, with the InternVL family."
            ),
            "",
            "Commands:",
            *lines,
            "",
            f"{PROGRAM} COMMAND --help lists the options of a command.",
        ]
    )


def _refuse(message: str) -> NoReturn:
    print(f"{PROGRAM}: error: {message}", file=sys.stderr)
    sys.exit(2)


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


# Jobs that do more than `pipelines.commands.job` does by itself.
_RUNS = {
    "score": "pipelines.commands.judging:run",
    "classify": "pipelines.commands.classification:run",
}


def _job(name: str, summary: str, description: str, *example: str, **others: Any) -> Command:
    """A command that writes a dataset."""
    settings = {
        "options": "pipelines.options.tasks:job_options",
        "run": _RUNS.get(name, "pipelines.commands.job:run"),
        "script": f"{name}_dataset.py",
    }
    return Command(name, summary, description, example=example, modes=True, **(settings | others))


COMMANDS: dict[str, Command] = {
    row.name: row
    for row in (
        *(_job(row.name, row.summary, row.description, *row.example) for row in TASK_ROWS),
        _job(
            "embed",
            "Make vectors of images, pages, videos and texts.",
            "Makes a vector of every unit of a dataset with an InternViT, with the vision model of"
            " a chat checkpoint, or with InternVL-C or -G, which also take texts. docs/vectors.md"
            " shows what they are for.",
            "--input s3://bucket/manifest.parquet",
            "--output s3://bucket/vectors",
            "--model OpenGVLab/InternViT-300M-448px",
            options="pipelines.options.embed_options:EmbedJobOptions",
            run="pipelines.commands.classification:run_vectors",
        ),
        _job(
            "annotate",
            "Do several of these in one pass over each image.",
            "Several tasks over each image in one pass: fetched, tiled and encoded once, one result"
            " row with every task's columns.",
            "--input s3://bucket/manifest.parquet",
            "--output s3://bucket/annotated",
            f"{MODEL} --tasks caption,ocr,ground --detect",
            options="pipelines.options.several_tasks:AnnotateJobOptions",
            tasks_option="tasks",
        ),
        _job(
            "run",
            "Run a task of your own.",
            "Runs a task that another package provides, or a module of yours; docs/python.md shows"
            " how to write one.",
            "--input s3://bucket/manifest.parquet",
            "--output s3://bucket/colours",
            f"{MODEL} --task own_task:colours",
            options="pipelines.options.own_tasks:RunOptions",
            tasks_option="task",
            script="",
        ),
        _job(
            "evaluate",
            "Score a model on a published benchmark.",
            "Runs a published benchmark through the pipeline, scores it, and prints the figures"
            " beside the family's own. docs/evaluation.md lists the benchmarks.",
            "--benchmark docvqa --input DocVQA/",
            "--split validation --output s3://bucket/docvqa",
            MODEL,
            options="pipelines.options.benchmark_options:EvaluateJobOptions",
            run="pipelines.commands.evaluation:run",
            script="evaluate_model.py",
        ),
        Command(
            "export",
            "Turn results into training data, tables and other files.",
            "Exports the answers of a job: as training data, a table, or files for other tools."
            " docs/exports.md shows each form.",
            run="pipelines.commands.export:run",
            options="pipelines.exports.options:ExportOptions",
            example=(
                "--input s3://bucket/captions",
                "--output s3://bucket/captions-sft --to sft --split train=0.95,val=0.05",
            ),
            script="export_dataset.py",
        ),
        Command(
            "compact",
            "Merge the small files of an output.",
            "Merges the small Parquet files that many runs left in results/ and errors/. Every row"
            " stays, whenever the command is killed. docs/guarantees.md says what readers see"
            " meanwhile.",
            run="pipelines.commands.compact:run",
            options="pipelines.commands.compact:CompactOptions",
            example=("--output s3://bucket/captions",),
            script="compact_output.py",
        ),
        Command(
            "filter",
            "Keep, drop or review each unit of an output by rules.",
            "Judges every unit of an output by rules in a YAML file: keep, drop or review, with all"
            " reasons. Needs no GPU. docs/filtering.md shows the rules.",
            run="pipelines.commands.filter:run",
            options="pipelines.filtering.options:FilterOptions",
            example=(
                "--input s3://bucket/captions",
                "--output s3://bucket/verdicts",
                "--rules rules.yaml",
            ),
            script="filter_dataset.py",
        ),
        Command(
            "search",
            "Find what is near to a unit, a picture or a text.",
            "Finds the nearest units in the vectors that the command embed made: of a unit, a"
            " picture, a text, or of every unit of another output. docs/vectors.md shows it.",
            run="pipelines.commands.search:run",
            options="pipelines.search.options:SearchOptions",
            example=("--input s3://bucket/vectors", '--query-text "a red panda in a tree"'),
            script="search_vectors.py",
        ),
        Command(
            "view",
            "Look at outputs in a browser, and mark units.",
            "Shows outputs in a browser on this machine: units with their pictures, boxes and"
            " answers, to look at and to mark. docs/viewer.md shows the page.",
            options="pipelines.commands.view:ViewOptions",
            run="pipelines.commands.view:run",
            example=("captions/ captions-of-another-model/",),
            positional="outputs",
            script="view_output.py",
        ),
        Command(
            "preview",
            "Answer a few files or rows, and compare prompts and models.",
            "Answers a few images, PDF pages, videos or rows of a manifest, without a cluster and"
            " without an output: for finding a prompt or a model. One answer is shown while it"
            " grows; those of several prompts and models stand side by side. docs/preview.md shows"
            " both.",
            options="pipelines.commands.preview_options:TriesOptions",
            run="pipelines.commands.preview_options:run",
            example=('photo.jpg --task ground --phrase "the dog"', MODEL),
            positional="inputs",
            tasks_option="task",
            script="preview.py",
        ),
        Command(
            "models",
            "List the published checkpoints with memory and GPUs.",
            "Print the InternVL family: sizes, memory of the weights, and the GPUs that they need.",
            run="internvl_ops.models.__main__:main",
        ),
        Command(
            "serve",
            "Serve a checkpoint with vLLM's OpenAI interface.",
            "",  # its own module describes it
            run="internvl_ops.serve:main",
        ),
        Command(
            "schema",
            "Print the JSON schema of a command's --config file.",
            "Print the JSON schema of a command's --config file. Editors complete and check the"
            " file by it.",
            run="pipelines.commands.schema:main",
        ),
        Command(
            "completion",
            "Print what makes a shell complete commands, options and values.",
            "Print what makes a shell complete commands, options and values.",
            run="pipelines.commands.completion:main",
        ),
    )
}
