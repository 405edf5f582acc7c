"""Rules across options: no option may contradict another, and none may be without effect."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from internvl_ops.errors import ConfigurationError
from internvl_ops.tasks import Task
from pipelines.flags import flag
from pipelines.sources.options import SourcePlan

JOINING = ("join_paragraphs", "join_words", "join_tables", "page_furniture", "level_headings")


def changed(options: BaseModel, name: str) -> bool:
    """Whether the option exists here and differs from its default."""
    field = getattr(type(options), "model_fields", {}).get(name)
    if field is None:
        return False
    own: dict[str, Any] = getattr(options, "own_defaults", dict)()
    default = own.get(name, field.default)
    return default is not PydanticUndefined and getattr(options, name) != default


def check_options(options: Any) -> None:
    """Refuses options of a job that contradict each other or have no effect beside the others.

    Raises:
        ConfigurationError: The message names both options and the mend.
    """
    check_answers(options)
    if options.autoscaling and None in (
        options.engines,
        options.gpus_per_engine,
        options.prepare_actors,
    ):
        raise ConfigurationError(
            "--autoscaling: the final size of the cluster is unknown. Add --engines,"
            " --gpus-per-engine and --prepare-actors; --estimate says how many cores prepare needs"
            " for each GPU."
        )
    if options.quiet:
        refuse(options, ("verbose",), "--quiet hides what --verbose shows")
    if options.overwrite:
        refuse(
            options, ("refresh", "retry_errors"), "--overwrite processes everything again anyway"
        )
    check_again(options)
    if options.engine == "openai":
        refuse(
            options,
            ("trust_remote_code",),
            "the server runs the model; leave it out with --engine openai",
        )
        refuse(options, ("revision",), "the server has the checkpoint")
        refuse(options, ("tiling",), "the server cuts images into tiles")
        refuse(options, ("jpeg_scaling",), "the server gets images in full")
        refuse(
            options, ("special_tokens",), "the server recognises its own special tokens in any case"
        )


def check_again(options: Any) -> None:
    """Refuses options about units that are done again, if they have no effect or contradict each
    other.

    Raises:
        ConfigurationError: The message names both options.
    """
    if options.fallback is None:
        refuse(options, ("fallback_base_url", "fallback_args"), "it belongs to --fallback")
    if options.engine != "openai":
        refuse(options, ("fallback_base_url",), f"--engine {options.engine} asks no server")
    if hasattr(options, "benchmark"):
        refuse(
            options,
            ("only", "fallback"),
            "the figures of a benchmark are those of one model over all questions",
        )
    if options.fallback is not None:
        refuse(options, ("shards", "shard"), "--fallback replaces rows of the whole output")
        refuse(
            options,
            ("only",),
            "--fallback chooses the units itself; run --only with another --model instead",
        )
    if options.only is None:
        kept = ("only_in", "join") if options.fallback else ("only_in", "join", "keep_history")
        refuse(options, kept, "it belongs to --only")
        return
    if options.only_in is not None:
        refuse(options, ("keep_history",), "with --only-in, no row is replaced")
        return
    refuse(options, ("overwrite",), "--only replaces the rows of the units that it chooses")
    refuse(options, ("refresh",), "--only says which units are done again")
    refuse(
        options,
        ("shards", "shard"),
        "--only replaces rows of the whole output; give --only-in and a new --output",
    )


def check_answers(options: Any) -> None:
    """Checks the options for prompts, images and answers, which jobs and the preview share.

    Raises:
        ConfigurationError: The message names both options and the mend.
    """
    if options.min_tiles > options.max_tiles:
        raise ConfigurationError(
            f"--min-tiles {options.min_tiles} is above --max-tiles {options.max_tiles}. Lower one"
            " or raise the other."
        )
    if options.n > 1 and options.temperature == 0:
        raise ConfigurationError(
            f"--n {options.n} at --temperature 0 gives the same answer {options.n} times. Add"
            " --temperature 0.7."
        )
    _refuse_empty(options)
    if not options.retries:
        refuse(options, ("retry_cut",), "with --retries 0 no answer is generated again")
    if options.prompt:
        refuse(
            options,
            ("language",),
            "it sets the language of the task's own prompt, which --prompt replaces",
        )
    if getattr(options, "detect", False):
        refuse(options, ("phrase",), "--detect looks for every object")


def _refuse_empty(options: Any) -> None:
    """Refuses texts without a sign in them: each would mean something else than it says."""
    empty = [
        *(["prompt"] if options.prompt is not None and not options.prompt.strip() else []),
        *(["phrase"] if any(not one.strip() for one in getattr(options, "phrase", ())) else []),
        *(["stop"] if "" in options.stop else []),  # a blank or a line break may end an answer
    ]
    if empty:
        raise ConfigurationError(f"{flag(empty[0])} is empty. Give a text, or leave it out.")


def check_sampling(options: Any, columns: Collection[str]) -> None:
    """Refuses sampling options that greedy answers do not use.

    Args:
        options: Options of a command.
        columns: Columns of the manifest, because a row may have its own temperature.

    Raises:
        ConfigurationError: The message names the option.
    """
    # An answer that is generated again is sampled, so these options apply to it.
    if options.temperature == 0 and not options.retries and "sampling_params" not in columns:
        refuse(
            options,
            ("top_p", "top_k", "seed"),
            "answers at --temperature 0 are not sampled; add --temperature 0.7",
        )


def check_plan(options: Any, plan: SourcePlan) -> None:
    """Refuses options that have no effect on this input.

    Args:
        options: Options of the job.
        plan: Plan of the input.

    Raises:
        ConfigurationError: The message names the option and describes the input.
    """
    if plan.media_column is None:
        refuse(
            options,
            ("allow", "http_header", "media_root", "refresh"),
            "the input has only text, no media",
        )
    if plan.media_kind != "document":
        refuse(options, ("documents", *JOINING), "the input has no documents")
    if plan.media_kind != "video" and options.engine == "openai":
        refuse(options, ("resize",), "the server resizes images")


def check_documents(options: Any, task: Task) -> None:
    """Refuses a format of documents for a task that does not read pages.

    Raises:
        ConfigurationError: The message names the option.
    """
    if options.documents == "none":
        refuse(options, JOINING, "--documents none writes none")
    if task.text is None:
        refuse(
            options,
            ("documents", *JOINING),
            f"the task {task.name} does not read the text of pages",
        )


def check_text_layer(options: Any, plan: SourcePlan, task: Task) -> None:
    """Refuses a text layer for answers that it cannot be compared with, or stand for.

    Raises:
        ConfigurationError: The message names the option and the mend.
    """
    mode = options.text_layer
    given = f"--text-layer {mode}"
    if mode == "compare" and task.text is None:
        raise ConfigurationError(
            f"{given}: the task {task.name} does not read the text of pages. Leave it out."
        )
    if mode != "prefer":
        return
    if task.name != "ocr":
        raise ConfigurationError(
            f"{given}: a text layer is plain text, which answers the task ocr alone, and this is"
            f" {task.name}. Leave it out, or give --text-layer prompt."
        )
    if options.ocr_format != "text":
        raise ConfigurationError(
            f"{given}: a text layer is plain text, not --ocr-format {options.ocr_format}. Give"
            " --ocr-format text, or --text-layer compare."
        )
    asking = {
        "--prompt": bool(options.prompt),
        "the column question": "question" in plan.schema.names,
    }
    for asked in (name for name, is_there in asking.items() if is_there):
        raise ConfigurationError(
            f"{given}: {asked} asks something of its own, which a text layer does not answer. Leave"
            " it out, or give --text-layer compare."
        )


_OF_TEXTS = ("max_new_tokens", "min_new_tokens", "temperature", "top_p", "top_k",
             "repetition_penalty", "seed", "n", "log_probs", "stop", "retries",
             "retry_cut")  # fmt: skip


def check_outcome(options: Any, task: Task) -> None:
    """Refuses options about the generation of texts where answers are none.

    Raises:
        ConfigurationError: Naming the option.
    """
    if task.outcome.generated and options.min_new_tokens > task.max_new_tokens:
        most = f"the {task.max_new_tokens} tokens that an answer of {task.name} may have"
        if options.max_new_tokens is not None:
            most = f"--max-new-tokens {options.max_new_tokens}"
        raise ConfigurationError(
            f"--min-new-tokens {options.min_new_tokens} is above {most}. Lower one or raise the"
            " other."
        )
    if not task.outcome.generated:
        refuse(
            options,
            _OF_TEXTS,
            f"the answers of the task {task.name} are {task.outcome.name}, not texts",
        )


def refuse(options: Any, names: Collection[str], why: str) -> None:
    """Refuses each of these options if it is not at its default.

    Raises:
        ConfigurationError: The message names the option and its value.
    """
    for name in names:
        if changed(options, name):
            raise ConfigurationError(
                f"{as_given(options, name)} has no effect: {why}. Leave it out, or change the"
                " other."
            )


def check_column(options: Any, name: str, columns: Collection[str]) -> None:
    """Refuses an option that names a column which the manifest does not have.

    Args:
        options: Options of a command.
        name: The option; it may be None.
        columns: Columns of the manifest.

    Raises:
        ConfigurationError: The message names the option and the columns.
    """
    column = getattr(options, name)
    if column is not None and column not in columns:
        raise ConfigurationError(
            f"{flag(name)} {column}: no such column in the manifest. Columns there:"
            f" {', '.join(columns)}."
        )


def as_given(options: Any, name: str) -> str:
    """An option as written on a command line."""
    value = getattr(options, name)
    text = (
        ""
        if isinstance(value, bool)
        else f" {' '.join(value) if isinstance(value, tuple) else value}"
    )
    return f"{flag(f'no_{name}' if value is False else name)}{text:.200}"
