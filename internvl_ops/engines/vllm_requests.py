"""What goes into vLLM and comes out of it, for one request."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from internvl_ops.engines.base import Completion, Request, Sampling, context_exceeded
from internvl_ops.errors import UnitError, keyword
from internvl_ops.models.checkpoints.config import Checkpoint

if TYPE_CHECKING:
    from vllm import SamplingParams


def check_request(
    request: Request, checkpoint: Checkpoint, *, context: int, longest_image: int, vocabulary: int
) -> None:
    """Refuses a request on which vLLM would fail: a shape error in its worker ends the engine
    for all requests.

    Args:
        request: The request.
        checkpoint: Checkpoint of the engine.
        context: Tokens of the context of the engine.
        longest_image: Tokens of the largest image that the engine encodes.
        vocabulary: Number of the model's tokens.

    Raises:
        UnitError: ``prompt_too_long``, or ``engine_failed`` for what its maker did wrong.
    """
    if len(request.token_ids) >= context:
        mend = f"Lower {keyword('max_tiles')}, or shorten the question."
        if context < checkpoint.context_length:
            trained = checkpoint.context_length
            raised = (
                f"raise max_model_len in {keyword('engine_args')}: the checkpoint takes {trained}"
            )
            mend = f"{mend[:-1]}, or {raised}."
        raise context_exceeded(len(request.token_ids), context, mend)
    longest = max((image.length - 2 for image in request.images), default=0)
    if longest > longest_image:
        raise UnitError(
            "generate",
            "prompt_too_long",
            f"an image of {longest} tokens; the engine encodes at most {longest_image} at"
            f" a time. Lower {keyword('max_tiles')}, leave out {keyword('combine_images')}, or"
            f" raise max_num_batched_tokens in {keyword('engine_args')}.",
        )
    size = checkpoint.tile_size
    shape = (sum(image.num_tiles for image in request.images), 3, size, size)
    given = (0, *shape[1:]) if request.tiles is None else request.tiles.shape
    if given != shape or len(request.image_hashes) != len(request.images):
        raise UnitError(
            "generate",
            "engine_failed",
            f"tiles of shape {given} and {len(request.image_hashes)} hashes for a prompt whose"
            f" {len(request.images)} images need tiles of shape {shape}. This is an error of"
            " the caller.",
        )
    if (highest := int(request.token_ids.max())) >= vocabulary:
        raise UnitError(
            "generate",
            "engine_failed",
            f"token {highest} in the prompt; the model knows {vocabulary} tokens."
            " Its tokenizer files are those of another checkpoint; download them again.",
        )


def engine_input(request: Request, context_id: int) -> Any:
    """The prompt with its tiles, as vLLM takes them.

    Args:
        request: One that the engine has checked.
        context_id: Tells the images of one job from those of another in vLLM's cache.
    """
    import torch
    from vllm.inputs.engine import tokens_input

    from internvl_ops.models.vllm_plugin.inputs import image_input

    token_ids = request.token_ids.tolist()
    if request.tiles is None or not request.images:
        return tokens_input(token_ids)
    with warnings.catch_warnings():  # the tiles may be a read-only view; nothing writes to them
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        tiles = torch.from_numpy(np.ascontiguousarray(request.tiles))
    return image_input(
        token_ids,
        tiles,
        spans=[(image.offset + 1, image.length - 2, image.num_tiles) for image in request.images],
        hashes=request.image_hashes,
        context_id=context_id,
    )


def sampling_params(
    sampling: Sampling, stop_ids: Iterable[int], every: int | None
) -> SamplingParams:
    """The sampling as vLLM takes it.

    Args:
        sampling: Of the request.
        stop_ids: Tokens that end every answer of the checkpoint.
        every: Tokens between two messages for a watched request; None for one message at the end.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    form: StructuredOutputsParams | None = None
    if sampling.constrained:
        form = StructuredOutputsParams(
            json=sampling.json_schema, choice=list(sampling.choices) or None
        )
    return SamplingParams(
        max_tokens=sampling.max_new_tokens,
        min_tokens=sampling.min_new_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        repetition_penalty=sampling.repetition_penalty,
        seed=sampling.seed,
        stop_token_ids=[] if sampling.ignore_stop else [*stop_ids, *sampling.stop_token_ids],
        ignore_eos=sampling.ignore_stop,
        logprobs=sampling.logprobs,
        structured_outputs=form,
        detokenize=False,
        # One message per request through this process, or one every few tokens for a watched
        # request.
        output_kind=RequestOutputKind.CUMULATIVE if every else RequestOutputKind.FINAL_ONLY,
        stream_interval=every,
    )


def completion(output: Any, prompt_tokens: int, finish_reason: str | None) -> Completion:
    """vLLM's answer as a `Completion`.

    Raises:
        UnitError: ``engine_failed`` if vLLM ended the request for another reason than its own end,
            length or watch.
    """
    if finish_reason not in ("stop", "length", "watch"):
        raise UnitError(
            "generate", "engine_failed", f"vLLM ended the request with {finish_reason!r}."
        )
    answer = output.outputs[0]
    logprobs = [
        {token: entry.logprob for token, entry in position.items()}
        for position in answer.logprobs or []
    ]
    return Completion(list(answer.token_ids), prompt_tokens, finish_reason, logprobs)
