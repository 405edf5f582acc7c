"""Builds what has the conversations with an engine from options."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from internvl_ops.generation import Answerer, Asker, Generates, Generator, Retries
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.tokenizers.tokenizer import Tokenizer
from internvl_ops.tasks import Outcome, Task
from pipelines.options.job_options import InferenceOptions
from pipelines.wiring.engines import Model, tokenizer_checkpoint

GeneratorMaker: TypeAlias = Callable[..., Answerer]


def generator_maker(
    options: InferenceOptions, checkpoint: Model | None, task: Task
) -> GeneratorMaker:
    """Returns a picklable function that makes a generator from a running engine.

    Args:
        options: Model and prompt.
        checkpoint: Checkpoint of the model; None if only a server has it.
        task: What is asked.
    """
    return functools.partial(
        make_generator,
        outcome=task.outcome,
        checkpoint=tokenizer_checkpoint(options, checkpoint),
        trust_remote_code=options.trust_remote_code,
        retries=Retries(times=options.retries, cut=options.retry_cut),
        stop=options.stop,
        samples=options.n,
    )


def make_generator(
    engine: Generates[Any],
    *,
    outcome: Outcome,
    checkpoint: Checkpoint | None,
    trust_remote_code: bool,
    retries: Retries,
    stop: Sequence[str],
    samples: int,
    listener: Callable[[str], None] | None = None,
) -> Answerer:
    """Makes the generator for ``engine``. There is no tokenizer if the engine answers in text (no
    checkpoint).

    Args:
        engine: A running engine.
        outcome: What the answers are.
        checkpoint: Has the tokenizer of prompts and answers.
        trust_remote_code: Let a tokenizer's own code run.
        retries: As in `Generator`, like the next three.
        stop: Texts that end an answer.
        samples: Number of answers to each conversation.
        listener: Called with each answer as it grows.
    """
    if not outcome.generated:
        return Asker(engine)
    tokenizer = (
        None if checkpoint is None else Tokenizer(checkpoint, trust_remote_code=trust_remote_code)
    )
    return Generator(
        engine, tokenizer, retries=retries, stop=stop, samples=samples, listener=listener
    )
