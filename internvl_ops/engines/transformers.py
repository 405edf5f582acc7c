"""The reference engine: transformers' own InternVL class, one request after another. Slow and
simple.

For comparing answers, and for machines where vLLM does not run; `VllmEngine` is many times as fast.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from internvl_ops.engines.base import (
    WATCHED_EVERY,
    Completion,
    EngineDead,
    Request,
    Sampling,
    Watch,
    context_exceeded,
    own_context,
)
from internvl_ops.engines.candidates import Ids, candidate_ids, log_probabilities
from internvl_ops.errors import ConfigurationError, UnitError, keyword
from internvl_ops.events import say_step
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig

logger = logging.getLogger(__name__)

NOT_CONSTRAINED = (
    f"{keyword('engine', 'transformers')} cannot hold an answer to a JSON schema or to choices. Use"
    f" {keyword('engine', 'vllm')} or {keyword('engine', 'openai')}."
)


class TransformersEngine:
    """InternVL in plain torch, on the first accelerator that this process sees, else on the CPU.

    Takes both layouts: transformers' own (`internvl`), and the published one (`internvl_chat`)
    through `internvl_ops.models.checkpoints.native`. It never runs code from a checkpoint's
    repository.

    Args:
        checkpoint: What to load.
        tensor_parallel: Must be 1.
        max_tiles: Ignored: memory is allocated as needed.
        constrained: Must be False: this engine cannot constrain an answer to a form.
        watched_every: Tokens between two calls of a `Watch`.
        engine_args: Arguments of `from_pretrained`, such as ``{"dtype": "float32",
            "attn_implementation": "eager"}``. vLLM's `max_model_len` is accepted too: it overrides
            the checkpoint's context.
        trust_remote_code: Whether a tokenizer that comes as code with the checkpoint may run.

    Raises:
        ConfigurationError: An argument needs another engine.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        tensor_parallel: int = 1,
        max_tiles: int | None = None,
        constrained: bool = False,
        watched_every: int = WATCHED_EVERY,
        engine_args: Mapping[str, Any] | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        if tensor_parallel > 1:
            raise ConfigurationError(
                f"{keyword('tensor_parallel', tensor_parallel)}:"
                f" {keyword('engine', 'transformers')} runs on one device. Use"
                f" {keyword('engine', 'vllm')}."
            )
        if constrained:
            raise ConfigurationError(NOT_CONSTRAINED)
        if checkpoint.quantization:
            raise ConfigurationError(
                f"{keyword('model', checkpoint.model)}: its weights are quantised"
                f" ({checkpoint.quantization}), which {keyword('engine', 'transformers')} does not"
                f" run. Use {keyword('engine', 'vllm')}, or the checkpoint they were made from."
            )
        self.checkpoint = checkpoint
        self._watched_every = watched_every
        self.dead = False
        self._arguments = {"dtype": checkpoint.dtype} | dict(engine_args or {})
        self.context_length = own_context(self._arguments) or checkpoint.context_length
        self._arguments.pop("max_model_len", None)
        self._trust_remote_code = trust_remote_code
        self._model: Any = None  # transformers' InternVLForConditionalGeneration
        self._candidate_ids = functools.lru_cache(16)(
            lambda given: candidate_ids(self._tokenizer, given)
        )
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="transformers")

    async def start(self) -> None:
        """Loads the model; takes minutes for a large one.

        Raises:
            ConfigurationError: The checkpoint lacks a weight, or transformers refuses an argument.
            EngineDead: The model does not fit on the device.
        """
        if self._model is None:
            await asyncio.get_running_loop().run_in_executor(self._worker, self._start)

    def _start(self) -> None:
        say_step(logger, "loading the weights")
        import torch

        from internvl_ops.models.checkpoints.native import load_native

        self._tokenizer = tokenizer = Tokenizer(
            self.checkpoint, trust_remote_code=self._trust_remote_code
        )
        self._stop_ids = tokenizer.stop_ids
        self._device = torch.accelerator.current_accelerator() or torch.device("cpu")
        try:
            model = load_native(
                str(self.checkpoint.whole()), tokenizer.image_context_id, self._arguments
            )
            self._model = model.to(self._device)
        except (torch.OutOfMemoryError, torch.AcceleratorError) as error:
            raise EngineDead(f"the model does not fit the device: {error}") from error

    async def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Completion:
        """The answer to one request. Cancelling the task ends the request at its next token.

        Raises:
            UnitError: ``prompt_too_long``, or ``engine_failed`` for this request alone.
            EngineDead: The engine is not running, or the device failed.
        """
        import torch

        model = self._model
        if model is None or self.dead:
            raise EngineDead("the engine is not running: call start() first.")
        if sampling.constrained:
            raise UnitError("generate", "engine_failed", NOT_CONSTRAINED)
        self._check(request)
        ended = threading.Event()
        in_worker = functools.partial(asyncio.get_running_loop().run_in_executor, self._worker)
        try:
            completion = await in_worker(self._generate, model, request, sampling, watch, ended)
            if sampling.candidates:
                embedded = await in_worker(self._prompt, model, request)
                completion.candidates = await log_probabilities(
                    self._candidate_ids(sampling.candidates),
                    lambda prefix, tokens: in_worker(
                        self._next_tokens, model, embedded, prefix, tokens
                    ),
                )
            return completion
        except torch.OutOfMemoryError as error:
            message = f"no memory for {len(request.token_ids)} tokens with their tiles: {error}"
            raise UnitError(
                "generate", "engine_failed", f"{message} Lower {keyword('max_tiles')}."
            ) from error
        except torch.AcceleratorError as error:  # the device no longer works for this process
            self.dead = True
            raise EngineDead(f"the device failed: {error}") from error
        finally:
            ended.set()  # the thread of a cancelled request runs until the next token

    def shutdown(self) -> None:
        """Frees the device; safe to call again."""
        self._model = None
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _check(self, request: Request) -> None:
        if len(request.token_ids) >= self.context_length:
            mend = f"Lower {keyword('max_tiles')}, or shorten the question."
            raise context_exceeded(len(request.token_ids), self.context_length, mend)

    def _generate(
        self,
        model: Any,
        request: Request,
        sampling: Sampling,
        watch: Watch | None,
        ended: threading.Event,
    ) -> Completion:
        import torch

        prompt = torch.from_numpy(request.token_ids.astype(np.int64))[None].to(self._device)
        stop_ids = (
            frozenset() if sampling.ignore_stop else self._stop_ids | set(sampling.stop_token_ids)
        )
        watcher = _Watcher(prompt.shape[1], watch, self._watched_every, ended)
        with torch.inference_mode(), _seeded(sampling.seed, self._device):
            output = model.generate(
                input_ids=prompt,
                inputs_embeds=self._embedded(model, prompt, request),
                attention_mask=torch.ones_like(prompt),
                generation_config=self._settings(sampling, prompt.shape[1], stop_ids),
                stopping_criteria=[watcher],
            )
        token_ids = output.sequences[0, prompt.shape[1] :].tolist()
        reason = "watch" if watcher.fired else "length"
        if token_ids[-1] in stop_ids:
            reason = "stop"
        logprobs = (
            []
            if sampling.logprobs is None
            else _logprobs(output.logits, token_ids, sampling.logprobs)
        )
        return Completion(token_ids, prompt.shape[1], reason, logprobs)

    def _prompt(self, model: Any, request: Request) -> torch.Tensor:
        import torch

        prompt = torch.from_numpy(request.token_ids.astype(np.int64))[None].to(self._device)
        with torch.inference_mode():
            return self._embedded(model, prompt, request)

    def _next_tokens(
        self, model: Any, prompt: torch.Tensor, prefix: Ids, tokens: Sequence[int]
    ) -> list[float]:
        """Log-probabilities of ``tokens`` after the embedded prompt and ``prefix``; reads the whole
        prompt again."""
        import torch

        with torch.inference_mode():
            said = torch.tensor([prefix], dtype=torch.int64, device=self._device)
            embedded = torch.cat([prompt, model.get_input_embeddings()(said)], 1)
            logits = model(inputs_embeds=embedded, logits_to_keep=1).logits[0, -1]
            found: list[float] = logits.float().log_softmax(-1)[list(tokens)].tolist()
        return found

    def _embedded(self, model: Any, prompt: torch.Tensor, request: Request) -> torch.Tensor:
        """The prompt's embeddings, shape (1, tokens, width), with the tiles' features in their
        places.

        Features are placed by position, not by token id, because a question may contain the context
        token.
        """
        import torch

        from internvl_ops.models.checkpoints.pixels import normalised

        embedded = model.get_input_embeddings()(prompt)
        if request.tiles is None or not request.images:
            return embedded
        with warnings.catch_warnings():  # the tiles may be a read-only view; nothing writes to them
            warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
            tiles = torch.from_numpy(np.ascontiguousarray(request.tiles)).to(self._device)
        features = model.get_image_features(
            pixel_values=normalised(tiles), return_dict=True
        ).pooler_output
        # column by column, which the class does not support
        if self.checkpoint.pixel_shuffle == "v1":
            side = round(features.shape[1] ** 0.5)
            features = features.unflatten(1, (side, side)).transpose(1, 2).flatten(1, 2)
        places = np.concatenate(
            [
                np.arange(image.offset + 1, image.offset + image.length - 1)
                for image in request.images
            ]
        )
        embedded[0, torch.from_numpy(places).to(self._device)] = features.flatten(0, 1).to(
            embedded.dtype
        )
        return embedded

    def _settings(
        self, sampling: Sampling, prompt_tokens: int, stop_ids: frozenset[int]
    ) -> GenerationConfig:
        from transformers import GenerationConfig

        drawn = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
        }
        longest = min(sampling.max_new_tokens, self.context_length - prompt_tokens)
        return GenerationConfig(
            max_new_tokens=longest,
            min_new_tokens=min(sampling.min_new_tokens, longest) or None,
            do_sample=sampling.temperature > 0,
            repetition_penalty=sampling.repetition_penalty,
            eos_token_id=sorted(stop_ids) or None,
            pad_token_id=0,  # nothing is padded; if unset, transformers logs a line per request
            return_dict_in_generate=True,
            output_logits=sampling.logprobs is not None,
            **(drawn if sampling.temperature > 0 else {}),
        )


class _Watcher:
    """Ends an answer when its watch or its caller asks for that; transformers calls it after each
    token."""

    def __init__(
        self, prompt_tokens: int, watch: Watch | None, every: int, ended: threading.Event
    ) -> None:
        self._prompt_tokens, self._watch, self._every, self._ended = (
            prompt_tokens,
            watch,
            every,
            ended,
        )
        self.fired = False

    def __call__(self, token_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        import torch

        answer = token_ids[0, self._prompt_tokens :]
        if self._watch is not None and len(answer) % self._every == 0:
            self.fired = self._watch(answer.tolist())
        return torch.tensor([self.fired or self._ended.is_set()], device=token_ids.device)


@contextlib.contextmanager
def _seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    import torch

    with torch.random.fork_rng([device] if device.type != "cpu" else [], device_type=device.type):
        if seed is None:
            torch.seed()
        else:
            torch.manual_seed(seed)
        yield


def _logprobs(
    logits: tuple[torch.Tensor, ...], token_ids: list[int], likeliest: int
) -> list[dict[int, float]]:
    """For each position, the log-probabilities of the chosen and of the likeliest tokens, before
    temperature and penalties."""
    found = []
    for token, position in zip(token_ids, logits, strict=True):
        logprobs = position[0].float().log_softmax(-1)
        values, ids = logprobs.topk(likeliest)
        found.append(
            {token: float(logprobs[token])} | dict(zip(ids.tolist(), values.tolist(), strict=True))
        )
    return found
