"""Estimates a job's GPU hours, price and CPU cores from a sample of the manifest and the
checkpoint's sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, quantiles

from internvl_ops.cost import FLOOR, Cost, Efficiency, Roofline
from internvl_ops.engines.device_fit import ON_LOAD
from internvl_ops.errors import ConfigurationError
from internvl_ops.gpus import DEFAULT_GPU, GPUS, Gpu, find_gpu, gpu_here
from internvl_ops.models.checkpoints.architecture import GPU_UTILIZATION, Bits
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.encoders.config import Encoder
from internvl_ops.tasks import Task
from pipelines.commands.estimate_sample import SampledUnit, SampleResult, take_sample
from pipelines.options.job_options import JobOptions
from pipelines.sources import SourcePlan, count_rows
from pipelines.wiring.engines import GPU_IN_FLIGHT, Model

ASSUMED = Efficiency()


@dataclass(frozen=True)
class Estimate:
    """Estimate of a job.

    Args:
        sample: A sample of the manifest.
        rows: Number of rows in the manifest; None if it is unknown without reading all of them.
        roofline: Performance model of the checkpoint on the GPU.
        chosen: How the GPU was chosen, in parentheses.
        answer_tokens: Assumed tokens of a unit's answers; None for the maximum.
        price_per_gpu_hour: Price of one GPU hour; None to estimate no price.
    """

    sample: SampleResult
    rows: int | None
    roofline: Roofline
    chosen: str = ""
    answer_tokens: int | None = None
    price_per_gpu_hour: float | None = None

    @property
    def units(self) -> float:
        """Number of units to ask about; per million rows if the row count is unknown."""
        total = 1e6 if self.rows is None else self.rows * self.sample.units_per_row
        return total * self.sample.good_share

    def units_per_second(self, efficiency: Efficiency = ASSUMED) -> float:
        """Units that one GPU answers per second."""
        return 1 / fmean(self._seconds(unit, efficiency) for unit in self.sample.seen)

    @property
    def gpu_hours(self) -> float:
        return self.units / self.units_per_second() / 3600

    @property
    def price(self) -> float | None:
        return None if self.price_per_gpu_hour is None else self.gpu_hours * self.price_per_gpu_hour

    @property
    def cores_per_gpu(self) -> float:
        """CPU cores that prepare units as fast as one GPU answers them."""
        return (self.sample.prepare_s or 0.0) * self.units_per_second()

    def answers(self, unit: SampledUnit) -> int:
        """Assumed number of tokens in the unit's answers."""
        return (
            unit.new_tokens
            if self.answer_tokens is None
            else min(self.answer_tokens, unit.new_tokens)
        )

    def _seconds(self, unit: SampledUnit, efficiency: Efficiency) -> float:
        return self.roofline.seconds(
            unit.tiles, unit.prompt_tokens, self.answers(unit), efficiency
        ).total

    def text(self) -> str:
        """For a person."""
        sample = self.sample
        wrong = ", ".join(f"{number:,} {kind}" for kind, number in sample.errors.most_common())
        looked = (
            f"{sample.rows:,} rows looked at: {sample.prepared:,} units prepared as the job would"
        )
        if sample.prepared < len(sample.seen):
            looked += f", of {len(sample.seen) - sample.prepared:,} more the headers read"
        looked += f"; {sample.errors.total():,} units cannot be read" + (
            f" ({wrong})" if wrong else ""
        )
        lines = [("sample", looked)]
        if not sample.seen:
            return _table([*lines, ("all of it", "nothing to ask a model about")])
        prompts = [unit.prompt_tokens for unit in sample.seen]
        answers = [self.answers(unit) for unit in sample.seen]
        tiles = [unit.tiles for unit in sample.seen]
        assumed = (
            "all they may have; --completion-tokens N if you know better"
            if self.answer_tokens is None
            else "as given"
        )
        lines += [
            ("units", self._units()),
            ("tiles", f"{fmean(tiles):.1f} a unit; {_histogram(tiles)}"),
            ("prompt", f"{fmean(prompts):,.0f} tokens a unit; {_spread(prompts)}"),
            ("answer", f"{fmean(answers):,.0f} tokens a unit, {assumed}"),
            ("a unit is", self._work(fmean(tiles), fmean(prompts), fmean(answers))),
            ("GPU", self._gpu()),
            (
                "at best",
                f"{_number(self.units_per_second(FLOOR))} units/s a GPU, by the data sheet",
            ),
            (
                "expected",
                (
                    f"{_number(self.units_per_second())} units/s a GPU, assuming"
                    f" {ASSUMED.compute:.0%} of its operations and {ASSUMED.bandwidth:.0%} of its"
                    " bandwidth; run.json of a run has what was reached"
                ),
            ),
            ("all of it", self._total()),
            ("prepare", self._prepare()),
        ]
        return _table(lines)

    def _units(self) -> str:
        if self.rows is None:
            return (
                "the number of rows is unknown without reading all of them; the estimate is for a"
                " million"
            )
        each = self.sample.units_per_row
        several = f", {each:,.1f} units each" if each != 1 else ""
        return f"{self.rows:,} rows{several}, of which {self.units:,.0f} units can be asked about"

    def _work(self, tiles: float, prompt: float, answer: float) -> str:
        cost = self.roofline.cost
        moved = self.roofline.answer_bytes(prompt, answer)
        return (
            f"{_si(cost.vision(tiles))}FLOP to see, {_si(cost.prompt(prompt))}FLOP to read, "
            f"{_si(cost.answer(prompt, answer))}FLOP and {_si(moved)}B from memory to answer"
        )

    def _gpu(self) -> str:
        roofline, gpu = self.roofline, self.roofline.gpu
        spread = f"; an engine takes {roofline.gpus} of them" if roofline.gpus > 1 else ""
        return (
            f"{gpu.name}{self.chosen}: {_si(gpu.flops)}FLOP/s bf16, {_si(gpu.bandwidth)}B/s,"
            f" {_si(gpu.memory)}B{spread}"
        )

    def _total(self) -> str:
        hours = f"{_number(self.gpu_hours)} GPU hours"
        if self.price is None:
            return f"{hours}; --price-per-gpu-hour X says what they cost"
        return f"{hours}, {self.price:,.2f} at {self.price_per_gpu_hour:,.2f} an hour"

    def _prepare(self) -> str:
        seconds = self.sample.prepare_s or 0.0
        return (
            f"{_number(1000 * seconds)} ms of a core a unit, measured here:"
            f" {_number(self.cores_per_gpu)} cores for each GPU,"
            f" {_number(self.units * seconds / 3600)} core hours in all"
        )


def estimate(
    options: JobOptions, plan: SourcePlan, checkpoint: Model | None, task: Task
) -> Estimate:
    """Estimates the whole job from a sample of the manifest.

    Raises:
        ConfigurationError: The GPU is unknown or too small for the checkpoint, or there is no
            checkpoint with sizes.
    """
    if isinstance(checkpoint, Encoder):
        raise ConfigurationError(
            "--estimate: there is none for vectors yet. Run --limit 1000 and look at its report."
        )
    if checkpoint is None or options.engine == "openai":
        raise ConfigurationError(
            "--estimate with --engine openai: the sizes of a server's model are unknown. Name the"
            " checkpoint with --model and leave --engine out."
        )
    gpu, chosen = _choose(options.gpu)
    return Estimate(
        sample=take_sample(options, plan, checkpoint, task),
        rows=plan.total_rows if plan.total_rows is not None else count_rows(plan),
        roofline=_roofline(options, checkpoint, gpu),
        chosen=chosen,
        answer_tokens=options.completion_tokens,
        price_per_gpu_hour=options.price_per_gpu_hour,
    )


def _choose(named: str | None) -> tuple[Gpu, str]:
    if named is not None:
        return find_gpu(named), ""
    here = gpu_here()
    if here is None:
        return GPUS[DEFAULT_GPU], " (none here; --gpu names another)"
    try:
        return find_gpu(here), " (the one here; --gpu names another)"
    except ConfigurationError:
        return (
            GPUS[DEFAULT_GPU],
            f" (what the {here} here can do is not known; --gpu names another)",
        )


def _roofline(options: JobOptions, checkpoint: Checkpoint, gpu: Gpu) -> Roofline:
    quantization = options.engine_args.get("quantization") or checkpoint.quantization or ""
    bits: Bits = (
        4 if "awq" in quantization else ON_LOAD.get(quantization, 8 if quantization else 16)
    )
    architecture = checkpoint.architecture
    gpus = options.gpus_per_engine or architecture.devices_needed(
        int(GPU_UTILIZATION * gpu.memory), bits
    )
    roofline = Roofline(
        Cost.of(checkpoint), gpu, gpus or 1, options.in_flight or GPU_IN_FLIGHT, bits
    )
    if gpus is None or not roofline.fits:
        raise ConfigurationError(
            f"--gpu {gpu.name}: {roofline.gpus} of them have no room for {checkpoint.model}. Name a"
            ' larger one, raise --gpus-per-engine, or quantise: --engine-args \'{"quantization":'
            ' "fp8"}\'.'
        )
    return roofline


def _histogram(counts: Sequence[int], shown: int = 6) -> str:
    """The most frequent values with their shares, sorted by value."""
    most = Counter(counts).most_common(shown)
    shares = [f"{value}: {number / len(counts):.0%}" for value, number in sorted(most)]
    rest = len(counts) - sum(number for _, number in most)
    return ", ".join([*shares, *([f"others: {rest / len(counts):.0%}"] if rest else [])])


def _spread(values: Sequence[int]) -> str:
    if len(values) < 2:
        return "of one unit"
    marks = quantiles(values, n=20, method="inclusive")
    return f"of 5% at most {marks[0]:,.0f}, half {marks[9]:,.0f}, 95% {marks[18]:,.0f}"


def _number(value: float) -> str:
    """Three digits: 1,230 or 0.0123."""
    return f"{float(f'{value:.3g}'):,.12g}" if value >= 0.001 else "under 0.001"


def _si(value: float) -> str:
    """``value`` with three digits and a prefix: 1.23 T."""
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.3g} {prefix}"
    return f"{value:.3g} "


def _table(lines: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"{name:<10} {text}" for name, text in lines)
