"""What a job can be told: one class a group of options, joined into one flat model a task inherits from.

Validated before Ray or a model is touched. A field is a flag (``max_tiles`` is ``--max-tiles``) and a key of
``--config job.yaml``; its description is the ``--help`` text, the class it stands in is the ``--help`` group.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from internvl_ops.errors import KINDS, UnitError
from internvl_ops.media.page_ranges import select_pages
from internvl_ops.stores.base import Settings

# Limits above which libraries fail at the number itself.
Positive = Annotated[int, Field(ge=1, le=2**53)]
Seconds = Annotated[int, Field(ge=1, le=10**8)]
Places = Annotated[int, Field(ge=1, le=10**6)]
PlacesOrNone = Annotated[int, Field(ge=0, le=10**6)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Fraction = Annotated[float, Field(ge=0, le=1)]


def _kinds_to_retry(value: Any) -> Any:
    """``--retry-errors`` alone is True; with kinds it is a tuple of them."""
    if value is None or isinstance(value, bool):
        return bool(value)
    words = value.split(",") if isinstance(value, str) else list(value)
    kinds = tuple(str(word).strip() for word in words)
    if kinds == ("all",):
        return KINDS
    for kind in kinds:
        if kind not in KINDS:
            close = difflib.get_close_matches(kind, KINDS, 1)
            mend = f" Did you mean {close[0]}?" if close else ""
            raise ValueError(f"{kind!r} is no kind of error. Allowed are all, {', '.join(KINDS)}.{mend}")
    return kinds


RetryErrors = Annotated[bool | tuple[str, ...], BeforeValidator(_kinds_to_retry)]


class InputOptions(BaseModel):
    """Input"""

    input: str = Field(description="Manifest, directory or glob: a local path or s3://bucket/key.")
    input_format: Literal["auto", "parquet", "jsonl", "csv", "txt", "webdataset", "files"] = Field(
        "auto", description="Format of the input; auto goes by the suffix."
    )
    columns: str | None = Field(None, description="Names of the columns of a CSV or TSV without a header line, "
        "separated by commas.")  # fmt: skip
    id_column: str | None = Field(None, description="Column with the id of a row. Without it and without a column "
        "named id, a stable id is made from the URI and the prompt fields.")  # fmt: skip
    image_column: str | None = Field(None, description="Column with the image: a URI, a list of URIs, or a Hugging "
        "Face image struct. Default: image or images.")  # fmt: skip
    video_column: str | None = Field(None, description="Column with the video URI. Default: video.")
    document_column: str | None = Field(None, description="Column with the PDF URI. Default: document or pdf.")
    media_root: str | None = Field(None, description="What relative media paths of a manifest are relative to. "
        "Default: the manifest's folder.")  # fmt: skip
    limit: Positive | None = Field(None, description="Read at most so many manifest rows.")
    allow: tuple[str, ...] = Field((), description="URI prefix that may be read besides the manifest's own bucket or "
        "folder and public http(s) addresses. Repeat for more.")  # fmt: skip
    http_header: tuple[str, ...] = Field((), description="Header of http(s) fetches as NAME=VALUE, such as "
        "'User-Agent=NAME (MAIL ADDRESS)'. One that may be a secret, such as Authorization, goes only to addresses "
        "under --allow, and not to other hosts that these redirect to. Never shown. Repeat for more.")  # fmt: skip
    s3_anonymous: bool = Field(False, description="Read the input and its media from S3 without credentials, as public "
        "buckets allow. The output is written with them.")  # fmt: skip
    s3_requester_pays: bool = Field(False, description="Pay for the requests that read the input and its media from "
        "S3, as buckets want whose owner does not pay.")  # fmt: skip

    @property
    def store_settings(self) -> Settings:
        """How stores are read."""
        return Settings(s3_anonymous=self.s3_anonymous, s3_requester_pays=self.s3_requester_pays)


class OutputOptions(BaseModel):
    """Output"""

    output: str = Field(description="Directory for results/, errors/ and _runs/: a local path or s3:// URI.")
    overwrite: bool = Field(False, description="Do everything again, and remove the results of earlier runs once "
        "the new ones are complete; the default is to resume.")  # fmt: skip
    refresh: Literal["none", "changed"] = Field("none", description="changed: do finished units again whose media "
        "changed since, by ETag, or by size and time of a local file.")  # fmt: skip
    retry_errors: RetryErrors = Field(False, description="Run failed units again: alone those that errors/ calls "
        "retriable (timeout, engine_failed, storage, not_found), with kinds those of these kinds, such as "
        "corrupt,refused, with all every one.")  # fmt: skip
    new_columns: Literal["json", "add", "refuse"] = Field("json", description="Columns of the input that an existing "
        "output does not have. json: keep their values as JSON in the column more_columns, so that all files make one "
        "table. add: add them to the new files alone, which Polars and datasets then refuse to read together by "
        "default. refuse: start nothing.")  # fmt: skip
    max_error_rate: Fraction = Field(
        1.0, description="Exit with status 3 when more than this fraction of units failed."
    )
    documents: Literal["parquet", "markdown", "none"] = Field("parquet", description="What pages of PDFs that were "
        "read are put together to again, in documents/: a row or a Markdown file a document.")  # fmt: skip
    rows_per_file: Positive = Field(1000, description="Rows in one Parquet file of results/.")
    commit_seconds: Seconds = Field(60, description="Write finished rows at least this often, so that a killed job "
        "repeats little.")  # fmt: skip


class ModelOptions(BaseModel):
    """Model"""

    model: str = Field(description="InternVL checkpoint: a local directory or a Hugging Face name; with --engine "
        "openai what the server calls it.")  # fmt: skip
    engine: Literal["vllm", "openai", "transformers"] = Field("vllm", description="What runs the model: vLLM in this "
        "job, a server with the OpenAI interface at --base-url, or plain transformers, which is slow.")  # fmt: skip
    base_url: str | None = Field(None, description="Address of the server for --engine openai, up to and with /v1. Its "
        "key is read from the environment variable OPENAI_API_KEY.")  # fmt: skip
    engines: Places | None = Field(None, description="Number of engines. Default: as many as the GPUs of the "
        "cluster carry, or one on CPUs.")  # fmt: skip
    gpus_per_engine: PlacesOrNone | None = Field(None, description="Tensor parallel size: GPUs one "
        "engine is spread over. Default: 1, or 0 on a cluster without GPUs.")  # fmt: skip
    engine_args: dict[str, Any] = Field({}, description="Engine options as JSON: of vLLM, such as "
        '\'{"quantization": "awq"}\'; of from_pretrained for transformers; for openai concurrency, away_s, answer_s, '
        "attempts, streams, send_max_tiles, extra_body.")  # fmt: skip
    engine_timeout: Seconds = Field(600, description="Seconds without a new token after which an engine that has "
        "requests is taken for hung, and started anew.")  # fmt: skip
    lora: str | None = Field(None, description="LoRA adapter that changes the model: PATH or NAME=PATH of a folder as "
        "PEFT saves it.")  # fmt: skip
    trust_remote_code: bool = Field(False, description="Let the checkpoint's own Python code run.")


NewTokens = Annotated[int, Field(ge=1, lt=2**31)]
Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(gt=0, le=1)]
RepetitionPenalty = Annotated[float, Field(gt=0, le=2)]


class PromptOptions(BaseModel):
    """Prompt and answer"""

    prompt: str | None = Field(None, description="Prompt for every unit; a row's own question column wins. Default: "
        "the task's.")  # fmt: skip
    system_message: str | None = Field(None, description="System message. Default: the checkpoint's.")
    max_new_tokens: NewTokens | None = Field(None, description="Tokens an answer may have. Default: the task's.")
    temperature: Temperature = Field(0.0, description="0 is greedy, as InternVL evaluates. A row's own sampling_params "
        'column, such as {"temperature": 0.7, "seed": 3}, wins; it may hold max_new_tokens, temperature, top_p, '
        "repetition_penalty and seed.")  # fmt: skip
    top_p: TopP = Field(1.0, description="Nucleus sampling; matters above temperature 0.")
    repetition_penalty: RepetitionPenalty = Field(1.0, description="Above 1 discourages repetition.")
    seed: Seed = Field(0, description="Seed of sampling; matters above temperature 0.")
    n: Annotated[int, Field(ge=1, le=64)] = Field(1, description="Answers to each unit, drawn independently: the first "
        "is the result, the column samples has all. Wants a temperature above 0.")  # fmt: skip
    log_probs: bool = Field(False, description="Add the column mean_logprob: the mean log-probability of the answer's "
        "tokens.")  # fmt: skip
    stop: tuple[str, ...] = Field((), description="Text that ends an answer and is not part of it. Repeat for more.")
    retries: Annotated[int, Field(ge=0, le=4)] = Field(2, description="How often an answer that goes round in circles "
        "or is cut off is generated again, at temperatures 0.2, 0.5, 0.8, 1.")  # fmt: skip
    retry_cut: bool = Field(True, description="Generate again what was cut off at --max-new-tokens, not only what went "
        "round in circles.")  # fmt: skip
    special_tokens: Literal["text", "recognised"] = Field("text", description="What becomes of special tokens that a "
        "question or system message spells, such as <|im_end|>. text: text, but for <image>, <ref>, <box> and <quad>. "
        "recognised: the tokens. With --engine openai the server recognises its own.")  # fmt: skip
    combine_images: bool = Field(False, description="Several images of a row stand in the prompt as one <image>, "
        "instead of Image-1: <image>, Image-2: <image> …")  # fmt: skip


class RowSampling(BaseModel):
    """What a row's ``sampling_params`` may say; what it leaves out is as in the job."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    max_new_tokens: NewTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    repetition_penalty: RepetitionPenalty | None = None
    seed: Seed | None = None


def row_sampling(given: object) -> dict[str, Any]:
    """A row's own sampling, from a struct, a map or JSON text.

    Raises:
        UnitError: ``bad_row``, with what is allowed.
    """
    try:
        if isinstance(given, str):
            given = given.strip() or None  # an empty cell of a CSV
        given = json.loads(given) if isinstance(given, str) else given
        values = dict(given or {}) if isinstance(given, Mapping | list | None) else given  # a map is a list of pairs
        if not isinstance(values, dict):
            raise TypeError(f"it is a {type(values).__name__}")
        # A column of structs has every row's fields in every row.
        given = {name: value for name, value in values.items() if value is not None}
        return RowSampling.model_validate(given).model_dump(exclude_none=True)
    except ValidationError as error:
        detail = error.errors()[0]
        name = ".".join(map(str, detail["loc"]))
        message = (
            f"{name} = {detail['input']!r:.80}: {detail['msg']}. Allowed are {', '.join(RowSampling.model_fields)}"
        )
    except (TypeError, ValueError, RecursionError) as error:
        message = f"{given!r:.80} is no JSON object: {error}"
    raise UnitError("render", "bad_row", f"column 'sampling_params': {message}")


class MediaOptions(BaseModel):
    """Media"""

    max_tiles: Annotated[int, Field(ge=1, le=40)] = Field(12, description="Tiles an image is cut into at most, the "
        "thumbnail not counted.")  # fmt: skip
    tiling: Literal["checkpoint", "always"] = Field("checkpoint", description="Whether images are cut into tiles: as "
        "the checkpoint was trained, which for V1.1 and V1.2 (dynamic_image_size false) is one tile an image, whatever "
        "--max-tiles says; or always.")  # fmt: skip
    min_tiles: Annotated[int, Field(ge=1, le=40)] = Field(1, description="Tiles an image is cut into at least.")
    resize: Literal["fast", "exact"] = Field("fast", description="exact is bit-identical with the model cards' code; "
        "fast differs by at most 2/255 on under 1 % of values.")  # fmt: skip
    alpha: Literal["white", "drop"] = Field("white", description="Transparency: composited on white, or dropped as the "
        "model cards do.")  # fmt: skip
    truncated: Literal["error", "accept"] = Field("error", description="A file that ends early: an error, or decoded "
        "as far as it goes.")  # fmt: skip
    jpeg_scaling: bool = Field(False, description="Let the decoder shrink JPEGs far larger than their tiles.")
    num_frames: Places = Field(8, description="Frames of a video, taken evenly.")
    fps: Annotated[float, Field(gt=0)] | None = Field(None, description="Frames a second instead of --num-frames.")
    frames_fps: Annotated[float, Field(gt=0)] = Field(3, description="Frames a second of a video that is a folder, a "
        "glob or a list of frame images.")  # fmt: skip
    start: Annotated[float, Field(ge=0)] | None = Field(None, description="Second of the video to start from; a row's "
        "own start column wins.")  # fmt: skip
    end: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Second to end at; a row's own end column wins."
    )
    clip_seconds: Annotated[float, Field(gt=0)] | None = Field(None, description="Split videos into clips so "
        "long, each a unit id#clip=n.")  # fmt: skip
    clip_scenes: bool = Field(False, description="Split videos where scenes change, each scene a unit id#clip=n.")
    pages: str = Field("", description="Pages of a document, such as 1-3,7 or 10-; each is a unit id#page=n. "
        "Default: all.")  # fmt: skip
    dpi: Annotated[float, Field(gt=0)] | None = Field(None, description="Resolution of pages. Default: what fills "
        "--max-tiles.")  # fmt: skip
    pdf_password: SecretStr | None = Field(None, description="Password of encrypted PDFs. Default: the environment "
        "variable INTERNVL_PDF_PASSWORD, which other users of the machine cannot see.")  # fmt: skip
    max_bytes: Positive = Field(100_000_000, description="Largest file fetched, in bytes.")
    max_pixels: Positive = Field(200_000_000, description="Largest image decoded, in pixels.")
    max_pages: Positive = Field(50_000, description="Most pages of a document.")
    max_video_seconds: Seconds = Field(6 * 3600, description="Longest video, in seconds.")
    fetch_timeout: Seconds = Field(60, description="Seconds one fetch may take.")
    decode_timeout: Seconds = Field(60, description="Seconds one decode may take; with --clip-scenes, for each "
        "minute of 1080p video.")  # fmt: skip
    decode_memory: Annotated[int, Field(ge=1, le=2**40)] = Field(4096, description="MiB of memory one decode may take.")

    @field_validator("pages", mode="before")
    @classmethod
    def _pages_can_be_read(cls, given: Any) -> Any:
        given = str(given) if isinstance(given, int) and not isinstance(given, bool) else given
        if isinstance(given, str):
            select_pages(given, 1)
        return given

    @field_validator("pdf_password", mode="before")
    @classmethod
    def _password_is_text(cls, given: Any) -> Any:
        return given if given is None or isinstance(given, SecretStr) else SecretStr(str(given))

    @field_validator("end")
    @classmethod
    def _end_follows_start(cls, end: float | None, info: ValidationInfo) -> float | None:
        start = info.data.get("start")
        if end is not None and start is not None and end <= start:
            raise ValueError(f"must be after --start {start:g}")
        return end

    @field_validator("clip_scenes")
    @classmethod
    def _clips_are_cut_in_one_way(cls, scenes: bool, info: ValidationInfo) -> bool:
        if scenes and info.data.get("clip_seconds") is not None:
            raise ValueError("cannot be combined with --clip-seconds; leave one of them out")
        return scenes


class InferenceOptions(MediaOptions, PromptOptions, ModelOptions):
    """What decides an answer. Jobs and the preview build engines, preparers and generators from it."""


class ClusterOptions(BaseModel):
    """Cluster"""

    ray_address: str | None = Field(None, description="Ray cluster to run on. Default: RAY_ADDRESS, which "
        "`ray job submit` sets, or a local one started for the job.")  # fmt: skip
    verbose: bool = Field(False, description="Show what the workers say, the engine's own log included.")
    log_json: bool = Field(False, description="Write the log on standard error as JSON, one object a line, progress "
        "included.")  # fmt: skip
    autoscaling: bool = Field(False, description="The cluster adds nodes as they are asked for: ask for --engines, "
        "--gpus-per-engine and --prepare-actors as they are given, whatever nodes are there by now.")  # fmt: skip
    prepare_actors: Places | None = Field(None, description="CPU actors that fetch, decode and tile. Default: the "
        "cluster's CPUs less one for each engine.")  # fmt: skip
    in_flight: Places | None = Field(None, description="Units an engine holds at once, running and queued. Default: "
        "512 on a GPU, 32 on CPUs.")  # fmt: skip
    rows_per_block: Places | None = Field(None, description="Units that travel together. Default: what makes a "
        "block of at most 64 MiB of tiles, 8 at most; 1 where a row may have several files.")  # fmt: skip


class EstimateOptions(BaseModel):
    """Estimate"""

    gpu: str | None = Field(None, description="Kind of GPU that --estimate is for, such as h100. Default: the one of "
        "this machine, else h100.")  # fmt: skip
    price_per_gpu_hour: Annotated[float, Field(ge=0)] | None = Field(None, description="Price of a GPU for an hour, in "
        "any currency: for --estimate, and for the record of a run.")  # fmt: skip
    completion_tokens: Positive | None = Field(None, description="Tokens that --estimate takes the answers of a unit "
        "to have. Default: all they may have.")  # fmt: skip
    sample_rows: Positive = Field(1000, description="Rows of the manifest that --estimate looks at.")


class JobOptions(EstimateOptions, ClusterOptions, InferenceOptions, OutputOptions, InputOptions):
    """Every option; a task's own class narrows the defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    media_optional: ClassVar[bool] = False  # whether a row may do without media


def tiles(default: int | None) -> Any:
    """``--max-tiles`` with a task's own default; None where something else of the options gives it."""
    return Field(default, ge=1, le=40, description=JobOptions.model_fields["max_tiles"].description)
