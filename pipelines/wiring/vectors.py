"""Builds the engine and the preparer of vectors from options."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from internvl_ops.engines.vectors import VectorEngine
from internvl_ops.errors import ConfigurationError
from internvl_ops.models.encoders.texts import TextTokenizer
from pipelines.options.embed_options import EmbedJobOptions, label_texts
from pipelines.wiring.media import ReaderArguments

# It imports the media readers, and so the codecs, which a job imports only after its options are
# checked.
if TYPE_CHECKING:
    from internvl_ops.preparer import UnitPreparer


def vector_engine_maker(options: EmbedJobOptions) -> Callable[..., VectorEngine]:
    """Returns a picklable function that makes an engine of vectors.

    Raises:
        ConfigurationError: An argument of the engine is unknown, or it is to be spread over several
            GPUs.
    """
    if (options.gpus_per_engine or 0) > 1:
        raise ConfigurationError(
            f"--gpus-per-engine {options.gpus_per_engine}: an engine of vectors runs on one GPU."
            " Raise --engines."
        )
    make = functools.partial(
        VectorEngine,
        options.encoder,
        pooling=options.resolved_pooling,
        normalise=options.normalise,
        labels=_label_ids(options),
        engine_args=options.engine_args,
    )
    make()  # refuses arguments that it does not know
    return make


def _label_ids(options: EmbedJobOptions) -> list[list[np.ndarray]]:
    """Token ids of the texts that say each label."""
    texts = label_texts(options)
    if not texts:
        return []
    tokenizer = TextTokenizer(options.encoder)
    return [
        [tokenizer.encode(text, prefix=options.text_prefix)[0] for text in each] for each in texts
    ]


def vector_preparer_maker(
    options: EmbedJobOptions, media: ReaderArguments
) -> Callable[[], UnitPreparer]:
    """Returns a picklable function that makes a preparer.

    Args:
        options: Options of the job.
        media: How media are read; see `pipelines.wiring.media.reader_arguments`.
    """
    from internvl_ops.vector_preparer import VectorPreparer

    return functools.partial(
        VectorPreparer,
        options.encoder,
        media,
        fit=options.fit,
        texts=options.text_column is not None,
        prefix=options.text_prefix,
    )
