"""Options of the evaluation, in addition to those of every job."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from internvl_ops.evaluation import BENCHMARKS, Name
from internvl_ops.evaluation.benchmark import NoLetter
from internvl_ops.evaluation.releases import Release, release_of
from internvl_ops.evaluation.suites import SuiteName
from internvl_ops.evaluation.vector_benchmarks import RETRIEVAL_NAMES, ZERO_SHOT_NAMES
from pipelines.options.job_options import JobOptions, tiles

_BY_BENCHMARK = (
    "max_tiles",
    "num_frames",
    "frame_rule",
    "exif",
    "no_letter",
    "enlarge",
    "tile_share",
)


class EvaluateOptions(BaseModel):
    """Benchmark"""

    benchmark: Name | None = Field(None, description="Benchmark to which the input belongs; see "
        "docs/evaluation.md.")  # fmt: skip
    suite: SuiteName | None = Field(None, description="Run a set of benchmarks with one engine: "
        "those of a published table. The input is then a YAML file that says where the data of "
        "each are; docs/evaluation.md shows it.")  # fmt: skip
    beside: str | None = Field(None, description="Published checkpoint whose figures a suite is "
        "compared with. Default: the one that --model names.")  # fmt: skip
    split: str | None = Field(None, description="Split of the benchmark. In a directory, only "
        "files with this in their names are read. Default: the one in the file's "
        "name.")  # fmt: skip
    annotations: str | None = Field(None, description="JSON file with the answers by question id, "
        "as published for TextVQA, VizWiz and DocVQA, for an input without answers.")  # fmt: skip

    release: Release | None = Field(None, description="Use the settings of this release: tiles, "
        "frames, and what counts as an answer differ between releases. Default: the release of "
        "--model, else InternVL2.")  # fmt: skip
    exif: Literal["ignore", "apply"] = Field("ignore", description="Whether to turn images and "
        "frames upright by their EXIF orientation. The published figures were measured without, so "
        "the default is ignore; for --benchmark ocr, which has no published figures, it is apply. "
        "All other jobs apply it.")  # fmt: skip
    subtitles: str | None = Field(None, description="Folder with the subtitles of --benchmark "
        "videomme, NAME.srt for the video NAME. The model sees those of its frames, as for the "
        "published figures.")  # fmt: skip
    no_letter: NoLetter | None = Field(None, description="How --benchmark videomme counts an "
        "answer without a letter. skip: leave it out of the figures, as VLMEvalKit did up to "
        "InternVL2. text: look for an option's text in it, as VLMEvalKit has done since. wrong: "
        "count it as wrong. Default: the release's rule.")  # fmt: skip
    enlarge: int = Field(1, ge=1, le=4, description="Make the first image of a row so many times "
        "as wide and as high before it is tiled. Default: the benchmark's, which is 2 for "
        "mmmu.")  # fmt: skip
    tile_share: Literal["training", "evaluation"] = Field("training", description="How several "
        "images of a row share --max-tiles. training: it is divided among them. evaluation: each "
        "has as many, up to 64 together, as in VLMEvalKit. Default: the benchmark's.")  # fmt: skip
    judge_url: str | None = Field(None, description="OpenAI-compatible endpoint, up to and "
        "including /v1, of the model that rates or reads the answers of mmvet, mathvista and "
        "mmbench_video. The key is taken from OPENAI_API_KEY.")  # fmt: skip
    judge_model: str | None = Field(None, description="Name of the model at --judge-url. Default: "
        "the only one that it serves.")  # fmt: skip
    frame_rule: Literal["cards", "steps"] = Field("cards", description="Which frames of a video to "
        "take. cards: the middles of equal parts, as the model cards do. steps: those between "
        "equal parts, as VLMEvalKit does. Default: the benchmark's rule.")  # fmt: skip

    def own_defaults(self) -> dict[str, Any]:
        """Defaults that depend on the benchmark and the release."""
        return {} if self.benchmark is None else _defaults_of(self.benchmark, self.release)

    @field_validator("benchmark", mode="before")
    @classmethod
    def _is_asked(cls, given: Any) -> Any:
        """Says which command measures a benchmark of vectors."""
        if given in ZERO_SHOT_NAMES:
            raise ValueError(
                f"has no questions: it compares labels with pictures. `embed --benchmark {given}`"
                " measures it; docs/vectors.md says how"
            )
        if given in RETRIEVAL_NAMES:
            raise ValueError(
                f"has no questions: it searches. `search --benchmark {given}` measures it;"
                " docs/vectors.md says how"
            )
        return given

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fills in the defaults of the benchmark."""
        if str(values.get("benchmark")) not in BENCHMARKS:
            return values
        release = values.get("release") or release_of(str(values.get("model", "")))
        return _defaults_of(str(values["benchmark"]), release) | values | {"release": release}


def _defaults_of(name: str, release: Any) -> dict[str, Any]:
    benchmark = BENCHMARKS[name].for_release(release)
    return {option: getattr(benchmark, option) for option in _BY_BENCHMARK}


class EvaluateJobOptions(EvaluateOptions, JobOptions):
    """Defaults of InternVL's own evaluation: the benchmark's tiles and limits, exact pixels, one
    greedy answer."""

    max_tiles: int = tiles(None)
    num_frames: int = Field(None, ge=1, description="Frames of a video. Default: the benchmark's.")  # type: ignore[assignment]
    resize: Literal["fast", "exact"] = Field(
        "exact", description=JobOptions.model_fields["resize"].description
    )
    alpha: Literal["white", "drop"] = Field(
        "drop", description=JobOptions.model_fields["alpha"].description
    )
    retries: int = Field(0, ge=0, le=4, description=JobOptions.model_fields["retries"].description)
