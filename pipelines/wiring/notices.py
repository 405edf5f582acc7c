"""Notices for the user before a run starts: allowed settings that may not be intended."""

from __future__ import annotations

from internvl_ops.engines.base import own_context
from internvl_ops.media.office import libreoffice
from internvl_ops.media.signatures import OFFICE_FORMATS
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.encoders.config import Encoder
from internvl_ops.models.prompts.chat_template import disagreement
from internvl_ops.stores.redaction import safe_uri
from pipelines.options.job_options import JobOptions
from pipelines.options.rules import changed
from pipelines.sources import SourcePlan
from pipelines.sources.csv import HEADLESS
from pipelines.wiring.engines import Model, context_of, system_message_of


def notices(options: JobOptions, plan: SourcePlan, checkpoint: Model | None) -> list[str]:
    """The notices, one line each, for the log and the record of the run.

    Args:
        options: Options of the job.
        plan: Plan of the input.
        checkpoint: Checkpoint of the model; None if only a server has it.
    """
    found = [f"--input: {plan.left_out_in_words}."] if plan.left_out else []
    if headless := plan.details.get(HEADLESS):
        found.append(
            f"--columns {options.columns} names the columns of {headless[0]}: its first line is"
            " read as a row, because it holds none of these names."
        )
    office = [uri for uri in plan.sample_uris if uri.lower().endswith(tuple(OFFICE_FORMATS))]
    if plan.media_kind == "document" and office and libreoffice() is None:
        found.append(
            f"{safe_uri(office[0])} is converted by LibreOffice, and soffice is not on the PATH"
            " here. On nodes without it, office documents become errors of kind unsupported."
        )
    if (plan.media_kind == "video" or plan.media_column is None) and changed(options, "max_tiles"):
        why = (
            "the input is text alone"
            if plan.media_column is None
            else "a frame of a video is one tile"
        )
        found.append(f"--max-tiles {options.max_tiles} has no effect: {why}.")
    if checkpoint is None or isinstance(checkpoint, Encoder):
        return found
    found += _own_context(options, checkpoint)
    if options.engine != "openai":
        found += _large_images(options, plan, checkpoint)
        if note := disagreement(checkpoint, system_message_of(options)):
            found.append(note)
    return found


def _own_context(options: JobOptions, checkpoint: Checkpoint) -> list[str]:
    given, trained = own_context(options.engine_args), checkpoint.context_length
    if given is None:
        return []
    if given > trained:
        asks = ""
        if options.engine == "vllm":
            asks = (
                " vLLM takes more than config.json promises only with"
                " VLLM_ALLOW_LONG_MAX_MODEL_LEN=1."
            )
        return [
            f"--engine-args: max_model_len {given:,} is above the {trained:,} tokens that"
            f" {checkpoint.model} was trained for. What lies above may be nonsense, without an"
            f" error. Leave it out to stay below.{asks}"
        ]
    if options.engine == "vllm" and 0 < checkpoint.short_context < given:
        return [
            f"--engine-args: max_model_len {given:,} is above {checkpoint.short_context:,}, so that"
            " vLLM takes the rotary factors of long prompts for short ones too, and answers those"
            " differently."
        ]
    return []


def _large_images(options: JobOptions, plan: SourcePlan, checkpoint: Checkpoint) -> list[str]:
    """Warns if one image of the most tiles exceeds the context; this is known from the config
    alone."""
    if plan.media_kind == "video" or plan.media_column is None or not checkpoint.dynamic:
        return []
    tiles = options.max_tiles + (checkpoint.use_thumbnail and options.max_tiles > 1)
    tokens, context = tiles * checkpoint.tokens_per_tile + 2, context_of(options, checkpoint)
    if tokens < context:
        return []
    return [
        f"--max-tiles {options.max_tiles}: an image of so many tiles is {tokens:,} tokens with its"
        f" thumbnail; the context is {context:,}. Such images end as prompt_too_long in errors/."
        " Lower --max-tiles."
    ]
