"""Vectors of texts by vLLM's pooling. The texts arrive as token ids."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from internvl_ops.engines.base import EngineDead, Request, Sampling, Watch, own_context
from internvl_ops.engines.vector_answers import answer_of
from internvl_ops.errors import ConfigurationError, UnitError, keyword
from internvl_ops.events import say_step
from internvl_ops.models import vllm_plugin
from internvl_ops.models.checkpoints.architecture import GIB
from internvl_ops.models.encoders.config import Encoder, Pooling
from internvl_ops.replies import Numbers, States

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

logger = logging.getLogger(__name__)

_SEQUENCE = {"class": "CLS", "mean": "MEAN", "last": "LAST"}  # vLLM's names


class VllmVectorEngine:
    """One vLLM engine that pools, on the accelerators that this process sees, else on the CPU.

    Args:
        encoder: An encoder of texts.
        pooling: ``class``, ``mean`` or ``last`` token; ``none`` gives the vector of each token.
        normalise: Give every vector the length one.
        tensor_parallel: Number of devices to spread the model over.
        engine_args: vLLM's engine arguments; they override the choices made here. The type of the
            weights is by default the stored one.
        trust_remote_code: Whether code that comes with the checkpoint may run.

    Raises:
        ConfigurationError: The encoder has no such vectors.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        pooling: Pooling,
        normalise: bool = True,
        tensor_parallel: int = 1,
        engine_args: Mapping[str, Any] | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        encoder.size(pooling)
        self._encoder, self._pooling, self._normalise = encoder, pooling, normalise
        self._tensor_parallel = tensor_parallel
        self._engine_args = dict(engine_args or {})
        self._trust_remote_code = trust_remote_code
        self._llm: AsyncLLM | None = None

    @property
    def dead(self) -> bool:
        """Whether the engine was started and has died; it does not recover."""
        return self._llm is not None and self._llm.errored

    async def start(self) -> None:
        """Loads the model.

        Raises:
            ConfigurationError: vLLM does not have an engine argument, or refuses its value or the
                checkpoint.
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
        from vllm.platforms import current_platform
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM

        vllm_plugin.register()
        if current_platform.is_unspecified():
            raise ConfigurationError(
                "vLLM finds no device here: it is built for GPUs, and this machine shows none."
                " Without a GPU, install vLLM's CPU build."
            )
        say_step(logger, "reading the checkpoint")
        try:
            config = AsyncEngineArgs(
                **self._arguments(on_cpu=current_platform.is_cpu())
            ).create_engine_config(UsageContext.LLM_CLASS)
        except (TypeError, ValueError) as error:  # pydantic's ValidationError is a ValueError
            raise ConfigurationError(
                f"vLLM refuses its arguments, or cannot pool {self._encoder.model}: {error}. Given"
                f" by {keyword('engine_args')}: {self._engine_args}."
            ) from error
        say_step(logger, "loading the weights and measuring memory")
        try:
            self._llm = AsyncLLM.from_vllm_config(config, disable_log_stats=True)
        except Exception as error:
            raise EngineDead(f"vLLM did not start: {error} Its own log above says why.") from error

    def _arguments(self, *, on_cpu: bool) -> dict[str, Any]:
        from vllm.config import PoolerConfig

        chosen: dict[str, Any] = {
            "model": str(self._encoder.whole()),
            "runner": "pooling",
            "pooler_config": PoolerConfig(**_pooler(self._pooling)),
            "tensor_parallel_size": self._tensor_parallel,
            "trust_remote_code": self._trust_remote_code,
            "dtype": self._encoder.dtype,
            "max_model_len": own_context(self._engine_args) or self._encoder.longest,
            "skip_tokenizer_init": True,
            "use_tqdm_on_load": False,
            "enable_log_requests": False,
            "disable_log_stats": True,
        }
        if on_cpu:  # as for answers, see `VllmEngine`
            os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
            os.environ.setdefault("OMP_WAIT_POLICY", "passive")
            chosen |= {"enforce_eager": True, "kv_cache_memory_bytes": GIB}
            if self._tensor_parallel == 1:
                os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
                chosen["distributed_executor_backend"] = "uni"
        return chosen | self._engine_args

    async def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Numbers | States:
        """The vector of a text, or that of each of its tokens.

        Raises:
            UnitError: ``engine_failed`` for this request alone; ``bad_row``: there is no text.
            EngineDead: The engine has died.
        """
        from vllm import PoolingParams
        from vllm.exceptions import VLLMClientError
        from vllm.inputs.engine import tokens_input
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        llm = self._llm
        if llm is None:
            raise EngineDead("the engine is not running: call start() first.")
        if not len(request.token_ids):
            raise UnitError("generate", "bad_row", "nothing to embed: the unit has no text")
        task: Literal["token_embed", "embed"] = (
            "token_embed" if self._pooling == "none" else "embed"
        )
        found: Any = None
        try:
            async for output in llm.encode(
                tokens_input(request.token_ids.tolist()),
                PoolingParams(task=task, use_activation=False),
                request.request_id,
            ):
                found = output
        except EngineDeadError as error:
            raise EngineDead(f"vLLM died: {error}") from error
        except (VLLMClientError, EngineGenerateError, ValueError) as error:
            raise UnitError(
                "generate", "engine_failed", f"vLLM refused the request: {error}"
            ) from error
        if found is None or not found.finished:
            raise UnitError(
                "generate", "engine_failed", "vLLM ended the request without an answer."
            )
        values = np.asarray(found.outputs.data.float().cpu().numpy(), np.float32)
        return answer_of(values, normalise=self._normalise, prompt_tokens=len(request.token_ids))

    def shutdown(self) -> None:
        """Ends vLLM's processes and frees the device; safe to call again."""
        llm, self._llm = self._llm, None
        if llm is not None:
            llm.shutdown()


def _pooler(pooling: Pooling) -> dict[str, Any]:
    if pooling == "none":
        return {"tok_pooling_type": "ALL"}
    return {"seq_pooling_type": _SEQUENCE[pooling]}
