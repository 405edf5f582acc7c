"""An engine stand-in: no model, answers of noise, and the time that a GPU would take.

It stands in where what is measured is everything but the engine, such as how many engines one
driver can keep busy.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from internvl_ops.engines.base import Completion, Request, Sampling, Watch


@dataclass(frozen=True)
class Latency:
    """How long a batch takes on the device that is stood in for, as continuous batching goes.

    A step reads the prompts of the requests that are let in, and makes ``tokens_per_step`` tokens
    for each running one.

    Args:
        prompt_tokens: Of a request, whatever its prompt: prompts are small here, their images are
            not there.
        prefill_s: Seconds a prompt token takes.
        step_s: Seconds a decode step takes, whatever the batch.
        decode_s: Seconds each running request adds to a decode step.
        max_running: Requests that run at once; the others wait.
        tokens_per_step: Tokens that pass between two looks at who is waiting; of vLLM it would be
            1, which would cost this machine one wake-up a token.
        start_s: Seconds until the engine is ready.
    """

    prompt_tokens: int = 0
    prefill_s: float = 0.0
    step_s: float = 0.0
    decode_s: float = 0.0
    max_running: int = 256
    tokens_per_step: int = 8
    start_s: float = 0.0

    def rate(self, new_tokens: int) -> float:
        """Requests a second at most: ``max_running`` of them running at all times, each making
        ``new_tokens``."""
        decode = new_tokens * (self.step_s / self.max_running + self.decode_s)
        return 1 / (self.prompt_tokens * self.prefill_s + decode)

    def slower(self, times: float) -> Latency:
        """A device that takes ``times`` as long for everything."""
        return replace(
            self,
            prefill_s=times * self.prefill_s,
            step_s=times * self.step_s,
            decode_s=times * self.decode_s,
        )


@dataclass
class _Asked:
    left: int
    at: float
    done: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class StandInEngine:
    """An `Engine` that answers after the time that `Latency` says; without one, at once.

    The device goes on while this process waits for a core: a step that ended meanwhile has ended,
    and who came meanwhile is let in at the step after.

    Args:
        latency: Of the device; None answers at once.
        told: Called with (monotonic time, running, waiting) after each step, for who draws them.
    """

    def __init__(
        self, latency: Latency | None = None, told: Callable[[float, int, int], None] | None = None
    ) -> None:
        self._latency, self._told = latency, told
        self._waiting: deque[_Asked] = deque()
        self._running: list[_Asked] = []
        self._device: asyncio.Task[None] | None = None
        self.busy_s = 0.0

    @property
    def dead(self) -> bool:
        return False

    async def start(self) -> None:
        """Waits as long as loading a model would take."""
        await asyncio.sleep(self._latency.start_s if self._latency else 0)

    async def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Completion:
        """Noise, as much as is asked for at most; of different tokens, so that it does not look
        like a loop."""
        if self._latency is not None:
            asked = _Asked(sampling.max_new_tokens, time.monotonic())
            self._waiting.append(asked)
            if self._device is None or self._device.done():
                self._device = asyncio.create_task(self._run(self._latency))
            await asked.done
        return Completion(list(range(sampling.max_new_tokens)), len(request.token_ids), "length")

    def shutdown(self) -> None:
        """There is nothing to end."""

    async def _run(self, latency: Latency) -> None:
        clock = time.monotonic()
        while self._waiting or self._running:
            let_in = 0
            if not self._running:
                clock = max(clock, self._waiting[0].at)
            while (
                self._waiting
                and self._waiting[0].at <= clock
                and len(self._running) < latency.max_running
            ):
                self._running.append(self._waiting.popleft())
                let_in += 1
            steps = min(latency.tokens_per_step, max(one.left for one in self._running))
            took = let_in * latency.prompt_tokens * latency.prefill_s
            took += steps * (latency.step_s + latency.decode_s * len(self._running))
            clock, self.busy_s = clock + took, self.busy_s + took
            await asyncio.sleep(max(0.0, clock - time.monotonic()))
            for one in self._running:
                one.left -= steps
                if one.left <= 0:
                    one.done.set_result(None)
            self._running = [one for one in self._running if one.left > 0]
            if self._told is not None:
                self._told(clock, len(self._running), len(self._waiting))


def make_stand_in(latency: Latency, slow: float, mark: str) -> StandInEngine:
    """One of several; whoever is first to write the file ``mark`` takes ``slow`` times as long for
    everything."""
    if slow != 1:
        with contextlib.suppress(FileExistsError), open(mark, "x"):
            return StandInEngine(latency.slower(slow))
    return StandInEngine(latency)
