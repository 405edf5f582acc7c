"""The vLLM engine. It receives rendered prompts and tiles: this process does not decode, resize or
tokenise."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from internvl_ops.engines.base import (
    WATCHED_EVERY,
    Completion,
    EngineDead,
    Request,
    Sampling,
    Watch,
    own_context,
)
from internvl_ops.engines.candidates import Ids, candidate_ids, log_probabilities
from internvl_ops.engines.device_fit import check_memory, check_quantization, quantization_arguments
from internvl_ops.engines.vllm_cpu import cpu_arguments
from internvl_ops.engines.vllm_requests import (
    check_request,
    completion,
    engine_input,
    sampling_params,
)
from internvl_ops.errors import ConfigurationError, UnitError, keyword
from internvl_ops.events import say_step
from internvl_ops.models import vllm_plugin
from internvl_ops.models.checkpoints.architecture import GIB, GPU_UTILIZATION
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.lora import check_room, load_adapter
from internvl_ops.models.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.lora.request import LoRARequest
    from vllm.v1.engine.async_llm import AsyncLLM

logger = logging.getLogger(__name__)

# on the device, for encoded images that may be used again: 40 of 13 tiles for an 8B model
ENCODED_BYTES = GIB


class VllmEngine:
    """One vLLM engine, on the accelerators that this process sees, else on the CPU.

    Args:
        checkpoint: What to load.
        tensor_parallel: Number of devices to spread the model over.
        max_tiles: Maximum tiles of one image, without the thumbnail, if the job uses more than the
            checkpoint's config says: vLLM plans its memory by it.
        constrained: Whether requests may constrain their answers to a form; vLLM then loads its own
            tokenizer.
        watched_every: Tokens between two calls of a `Watch`.
        lora: An adapter for the checkpoint, as returned by `models.lora.load_adapter`.
        engine_args: vLLM's engine arguments, such as ``{"quantization": "awq"}``; they override the
            choices made here.
        trust_remote_code: Whether code that comes with the checkpoint may run.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        tensor_parallel: int = 1,
        max_tiles: int | None = None,
        constrained: bool = False,
        watched_every: int = WATCHED_EVERY,
        lora: str | None = None,
        engine_args: Mapping[str, Any] | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        checkpoint.check_tensor_parallel(tensor_parallel)
        self._quantization = quantization_arguments(checkpoint, tensor_parallel, engine_args or {})
        self.checkpoint = checkpoint
        self._tensor_parallel = tensor_parallel
        self._lora = load_adapter(lora, checkpoint) if lora else None
        if self._lora is not None:
            check_room(self._lora, str(lora), engine_args or {})
        self._max_tiles = max_tiles
        self._constrained, self._watched_every = constrained, watched_every
        self._engine_args = dict(engine_args or {})
        self._trust_remote_code = trust_remote_code
        self._llm: AsyncLLM | None = None
        self._params = functools.lru_cache(256)(self._sampling_params)  # rows may have their own
        self._candidate_ids = functools.lru_cache(16)(
            lambda given: candidate_ids(self._tokenizer, given)
        )

    @property
    def dead(self) -> bool:
        """Whether the engine was started and has died; it does not recover."""
        return self._llm is not None and self._llm.errored

    async def start(self) -> None:
        """Loads the model and returns when it can answer; takes minutes for a large model.

        Raises:
            ConfigurationError: vLLM does not have an engine argument, or refuses its value.
            EngineDead: The engine did not start; vLLM's log above says why.
        """
        if self._llm is None:
            await asyncio.to_thread(self._start)  # keeps the event loop free

    def _start(self) -> None:
        vllm_plugin.make_findable()
        # Must be set before the import of vLLM; the user's own settings have priority.
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        say_step(logger, "importing vLLM")
        from vllm import AsyncEngineArgs
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM

        vllm_plugin.register()
        self._check_device()
        self._tokenizer = tokenizer = Tokenizer(
            self.checkpoint, trust_remote_code=self._trust_remote_code
        )
        self._context_id, self._stop_ids = tokenizer.image_context_id, sorted(tokenizer.stop_ids)
        say_step(logger, "reading the checkpoint")
        try:
            config = AsyncEngineArgs(**self._arguments()).create_engine_config(
                UsageContext.LLM_CLASS
            )
        except (TypeError, ValueError) as error:  # pydantic's ValidationError is a ValueError
            raise ConfigurationError(
                f"vLLM refuses its arguments: {error}. Given by {keyword('engine_args')}:"
                f" {self._engine_args}."
            ) from error
        say_step(logger, "loading the weights and measuring memory")
        try:
            self._keep_encoded(config)
            self._llm = AsyncLLM.from_vllm_config(config, disable_log_stats=True)
        except Exception as error:
            raise EngineDead(f"vLLM did not start: {error} Its own log above says why.") from error

    def _check_device(self) -> None:
        import psutil
        from vllm.platforms import current_platform

        if current_platform.is_unspecified():
            raise ConfigurationError(
                "vLLM finds no device here: it is built for GPUs, and this machine shows none"
                " (nvidia-smi lists those that the driver sees; CUDA_VISIBLE_DEVICES may hide"
                " them). Without a GPU, install vLLM's CPU build."
            )
        on_cpu = current_platform.is_cpu()
        check_quantization(self.checkpoint, self._engine_args, on_cpu=on_cpu)
        check_memory(
            self.checkpoint,
            (
                psutil.virtual_memory().available
                if on_cpu
                else current_platform.get_device_total_memory()
            ),
            tensor_parallel=1 if on_cpu else self._tensor_parallel,  # CPUs share one memory
            utilization=(
                1
                if on_cpu
                else float(self._engine_args.get("gpu_memory_utilization", GPU_UTILIZATION))
            ),
            engine_args=self._engine_args,
            on_cpu=on_cpu,
        )

    @property
    def context_length(self) -> int:
        """Maximum length of prompt and answer together, in tokens; known once started.

        It is the checkpoint's context, or less where the device has no room for it. It is never
        more, whatever vLLM derives from `rope_scaling` in the config: vLLM's rotary table ends with
        the checkpoint's context, and beyond it vLLM reads other memory. Only the user's own
        `max_model_len` in `engine_args` goes further.
        """
        possible = self._started().model_config.max_model_len
        return (
            possible
            if own_context(self._engine_args)
            else min(possible, self.checkpoint.context_length)
        )

    @property
    def unfinished(self) -> int:
        """Number of running requests."""
        return self._started().get_num_unfinished_requests()

    async def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Completion:
        """The answer to one request. Cancelling the task removes the request from the engine.

        Raises:
            UnitError: ``prompt_too_long``, or ``engine_failed`` for this request alone.
            EngineDead: The engine has died.
        """
        self._started()
        self._check(request)
        params = self._params(self._within_context(request, sampling), watch is not None)
        answer = await self._completion(request, params, watch)
        if sampling.candidates:
            answer.candidates = await self._candidates(request, sampling.candidates)
        return answer

    async def _completion(
        self, request: Request, params: SamplingParams, watch: Watch | None = None
    ) -> Completion:
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        llm, output = self._started(), None
        try:
            # Leaving the loop early closes the generator, which removes the request from the
            # engine.
            steps = llm.generate(
                engine_input(request, self._context_id),
                params,
                request.request_id,
                lora_request=self._lora_request(),
                priority=-int(request.follows),
            )
            async with contextlib.aclosing(steps):
                async for output in steps:
                    if (
                        watch is not None
                        and not output.finished
                        and watch(output.outputs[0].token_ids)
                    ):
                        return completion(output, len(request.token_ids), "watch")
        except EngineDeadError as error:
            raise EngineDead(f"vLLM died: {error}") from error
        except (VLLMClientError, EngineGenerateError, ValueError) as error:
            raise UnitError(
                "generate", "engine_failed", f"vLLM refused the request: {error}"
            ) from error
        if output is None or not output.finished:
            raise UnitError(
                "generate", "engine_failed", "vLLM ended the request without an answer."
            )
        return completion(output, len(request.token_ids), str(output.outputs[0].finish_reason))

    async def _candidates(self, request: Request, candidates: tuple[str, ...]) -> list[float]:
        """Costs one token of generation for each inner place of the tree; the prompt is in the
        prefix cache."""
        from vllm import SamplingParams
        from vllm.sampling_params import MAX_LOGPROB_TOKEN_IDS, RequestOutputKind

        numbers = itertools.count()

        async def next_tokens(prefix: Ids, tokens: Sequence[int]) -> list[float]:
            token_ids = np.concatenate([request.token_ids, np.asarray(prefix, np.int32)])
            found: dict[int, float] = {}
            for first in range(0, len(tokens), MAX_LOGPROB_TOKEN_IDS):
                part = tokens[first : first + MAX_LOGPROB_TOKEN_IDS]
                name = f"{request.request_id}-candidates-{next(numbers)}"
                again = replace(request, request_id=name, token_ids=token_ids, follows=True)
                self._check(again)
                params = SamplingParams(
                    max_tokens=1,
                    temperature=0,
                    ignore_eos=True,
                    logprob_token_ids=list(part),
                    detokenize=False,
                    output_kind=RequestOutputKind.FINAL_ONLY,
                )
                found |= (await self._completion(again, params)).logprobs[0]
            return [found[token] for token in tokens]

        return await log_probabilities(self._candidate_ids(candidates), next_tokens)

    def shutdown(self) -> None:
        """Ends vLLM's processes and frees the device; safe to call again."""
        llm, self._llm = self._llm, None
        if llm is not None:
            llm.shutdown()

    def _started(self) -> AsyncLLM:
        if self._llm is None:
            raise EngineDead("the engine is not running: call start() first.")
        return self._llm

    def _arguments(self) -> dict[str, Any]:
        from vllm.platforms import current_platform

        chosen: dict[str, Any] = {
            "model": str(self.checkpoint.whole()),
            "tensor_parallel_size": self._tensor_parallel,
            "trust_remote_code": self._trust_remote_code,
            "scheduling_policy": "priority",  # see `Request.follows`
            "max_model_len": -1,  # the checkpoint's context, or as much of it as fits on the device
            "skip_tokenizer_init": not self._constrained,
            # Prompts are already rendered, so vLLM's cache of processed images would only waste
            # memory.
            "mm_processor_cache_gb": 0,
            "use_tqdm_on_load": False,
            "enable_log_requests": False,
            "disable_log_stats": True,
        }
        chosen |= self._quantization
        if self._lora is not None:
            chosen |= {"enable_lora": True, "max_lora_rank": self._lora.rank, "max_loras": 1}
            chosen["enable_tower_connector_lora"] = self._lora.sees
        # The checkpoint may be `tiled`, which its config does not show.
        if self._max_tiles is not None and self.checkpoint.dynamic and self._max_tiles > 1:
            chosen["hf_overrides"] = {
                "max_dynamic_patch": max(self._max_tiles, self.checkpoint.max_tiles),
                "dynamic_image_size": True,
            }
        if current_platform.is_cpu():
            chosen |= cpu_arguments(self.checkpoint, self._tensor_parallel)
        given = dict(self._engine_args)
        if isinstance(given.get("hf_overrides"), dict):
            # Without these, vLLM would wait forever for room for an image that is larger than it
            # planned for.
            given["hf_overrides"] = given["hf_overrides"] | chosen.get("hf_overrides", {})
        return chosen | given

    def _keep_encoded(self, config: Any) -> None:
        """Makes vLLM keep more than the one or two encoded images for which it has room by default.

        The last tokens of an image share a block of the prefix cache with the question after it. So
        another question needs the image's embeddings again, however much of the prompt is cached.
        Without them the image is encoded again, and three questions cost as much as three images.
        """
        of_a_token = (
            config.model_config.get_inputs_embeds_size() * config.model_config.dtype.itemsize
        )
        scheduler = config.scheduler_config
        checkpoint = self.checkpoint
        tiles = (
            max(
                self._max_tiles if self._max_tiles and checkpoint.dynamic else 0,
                checkpoint.max_tiles,
            )
            + checkpoint.use_thumbnail
        )
        # What vLLM can encode in one step. vLLM refuses a larger image only where its cache is no
        # larger than that, which is its default; otherwise it waits forever for room.
        self._longest_image = max(
            scheduler.max_num_encoder_input_tokens, tiles * checkpoint.tokens_per_tile
        )
        scheduler.encoder_cache_size = max(
            scheduler.encoder_cache_size, ENCODED_BYTES // of_a_token
        )

    def _check(self, request: Request) -> None:
        check_request(
            request,
            self.checkpoint,
            context=self.context_length,
            longest_image=self._longest_image,
            vocabulary=self._started().model_config.get_vocab_size(),
        )

    def _within_context(self, request: Request, sampling: Sampling) -> Sampling:
        """The sampling, with its maximum length cut to what is left of the context."""
        left = self.context_length - len(request.token_ids)
        return (
            sampling if sampling.max_new_tokens <= left else replace(sampling, max_new_tokens=left)
        )

    def _sampling_params(self, sampling: Sampling, watched: bool) -> SamplingParams:
        return sampling_params(sampling, self._stop_ids, self._watched_every if watched else None)

    def _lora_request(self) -> LoRARequest | None:
        from vllm.lora.request import LoRARequest

        return LoRARequest(self._lora.name, 1, self._lora.path) if self._lora else None
