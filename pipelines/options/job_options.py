"""The options of a job: one class per group, joined into one flat model from which a task inherits.

Validated before Ray or a model is touched. A field is a flag (``max_tiles`` is ``--max-tiles``) and
a key of ``--config job.yaml``; its description is the ``--help`` text, the class it stands in is
the ``--help`` group.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)

from internvl_ops.errors import KINDS
from internvl_ops.stores.base import Settings
from internvl_ops.stores.schemes import stores_in_words
from pipelines.options.again_options import AgainOptions
from pipelines.options.media_options import MediaOptions
from pipelines.options.numbers import (
    Fraction,
    MebiBytes,
    Places,
    PlacesOrNone,
    Positive,
    PositiveSeconds,
)
from pipelines.options.row_sampling import (
    NewTokens,
    RepetitionPenalty,
    Seed,
    Temperature,
    TopK,
    TopP,
)
from pipelines.sources.options import PROMPT_COLUMNS, InputFormat

if TYPE_CHECKING:
    from internvl_ops.media.kinds import MediaKind
    from internvl_ops.tasks import Task


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
            raise ValueError(
                f"{kind!r} is not a kind of error. Allowed are all, {', '.join(KINDS)}.{mend}"
            )
    return kinds


RetryErrors = Annotated[bool | tuple[str, ...], BeforeValidator(_kinds_to_retry)]


class InputOptions(BaseModel):
    """Input"""

    input: str = Field(description="Manifest, directory or glob: a local path, or a URI of a store "
        f"({stores_in_words()}, https://).")  # fmt: skip
    input_format: InputFormat = Field(
        "auto", description="Format of the input; auto detects it from suffix or log."
    )
    columns: str | None = Field(None, description="Columns of the input to keep, separated by "
        "commas, besides the id, the media and those that decide what is asked. Default: all. In a "
        "CSV or TSV without a header line: the names of its columns.")  # fmt: skip
    where: str | None = Field(None, description="Read only the rows for which this is true: a "
        "condition in SQL (DuckDB) on the columns of the input, such as \"lang = 'en' AND year >= "
        "1900\".")  # fmt: skip
    id_column: str | None = Field(None, description="Column with each row's id. Default: the "
        "column id or, if there is none, a stable id made from the URI and the prompt "
        "fields.")  # fmt: skip
    image_column: str | None = Field(None, description="Column with the image: a URI, a list of "
        "URIs, or a Hugging Face image struct. Default: image or images.")  # fmt: skip
    video_column: str | None = Field(None, description="Column with the video URI. Default: video.")
    document_column: str | None = Field(
        None,
        description=(
            "Column with the URI of a PDF, TIFF, CBZ or office document. Default: document or pdf."
        ),
    )
    media_root: str | None = Field(None, description="Resolve relative media paths in the manifest "
        "against this folder. Default: the manifest's folder.")  # fmt: skip
    limit: Positive | None = Field(
        None, description="Read at most this many manifest rows, of those that are wanted."
    )
    allow: tuple[str, ...] = Field((), description="Also allow media with this URI prefix. The "
        "manifest's own bucket or folder and public http(s) addresses are always allowed. Repeat "
        "for more.")  # fmt: skip
    http_header: tuple[str, ...] = Field((), description="Send this header with http(s) fetches: "
        "NAME=VALUE, such as 'User-Agent=NAME (MAIL ADDRESS)'. A header that may be a secret, such "
        "as Authorization, is sent only to addresses under --allow, and not to other hosts that "
        "these redirect to. Values are never shown. Repeat for more.")  # fmt: skip
    s3_anonymous: bool = Field(False, description="Read the input and its media from S3 without "
        "credentials, as public buckets allow. The output is still written with "
        "credentials.")  # fmt: skip
    s3_requester_pays: bool = Field(False, description="Pay for the requests that read the input "
        "and its media from S3, as requester-pays buckets require.")  # fmt: skip

    @property
    def store_settings(self) -> Settings:
        """How stores are read."""
        return Settings(s3_anonymous=self.s3_anonymous, s3_requester_pays=self.s3_requester_pays)


class OutputOptions(BaseModel):
    """Output"""

    output: str = Field(description="Directory for results/, errors/ and _runs/: a local path, or "
        f"a URI of a store that keeps files ({stores_in_words(written=True)}).")  # fmt: skip
    overwrite: bool = Field(False, description="Process everything again, and remove the results "
        "of earlier runs once the new ones are complete. By default, a run resumes.")  # fmt: skip
    refresh: Literal["none", "changed"] = Field("none", description="changed: process finished "
        "units again if their media have changed, by ETag, or by size and modification time of a "
        "local file.")  # fmt: skip
    retry_errors: RetryErrors = Field(False, description="Process failed units again. Without a "
        "value: those that errors/ marks as retriable (timeout, engine_failed, storage, "
        "not_found). With kinds, such as corrupt,refused: units that failed with these kinds. With "
        "all: every failed unit.")  # fmt: skip
    new_columns: Literal["json", "add", "refuse"] = Field("json", description="What to do with "
        "input columns that an existing output does not have. json: keep their values as JSON in "
        "the column more_columns, so that all files form one table. add: add them to the new files "
        "only; by default, Polars and datasets then refuse to read old and new files together. "
        "refuse: stop before the run starts.")  # fmt: skip
    max_error_rate: Fraction = Field(1.0, description="Exit with status 3 if more than this "
        "fraction of the units failed.")  # fmt: skip
    documents: Literal["parquet", "markdown", "none"] = Field(
        "parquet", description="How to write reassembled PDFs to documents/: one Parquet row or "
        "one Markdown file per document.")  # fmt: skip
    join_paragraphs: bool = Field(
        False, description="In documents/, join paragraphs that run over the end of a page."
    )
    join_words: bool = Field(
        False, description="In documents/, undo hyphens at the ends of lines and pages."
    )
    join_tables: bool = Field(
        False, description="In documents/, join tables that run over the end of a page."
    )
    page_furniture: Literal["keep", "drop"] = Field("keep", description="In documents/, keep page "
        "numbers and running heads and feet, or drop them.")  # fmt: skip
    level_headings: bool = Field(
        False, description="In documents/, give numbered headings the levels of their numbers."
    )
    shards: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="Run the job as this many "
        "parts at once on this cluster, each with its own driver, ledger and engines, where one "
        "driver cannot keep up.")  # fmt: skip
    shard: str | None = Field(None, description="Do only part I of N, written I/N, such as 3/16: "
        "the rows whose ids fall to it. Parts may run at any time and place, also at once on one "
        "output. The last one to end proves that they add up.")  # fmt: skip
    file_mb: MebiBytes = Field(128, description="Size of a full Parquet file in results/ and "
        "errors/, in MiB. --commit-seconds writes smaller ones; `internvl-batch compact` merges "
        "them.")  # fmt: skip
    rows_per_file: Positive | None = Field(None, description="Write a Parquet file after this many "
        "rows, even if it is smaller than --file-mb.")  # fmt: skip
    commit_seconds: PositiveSeconds = Field(60, description="Write finished rows at least this "
        "often, in seconds, so that a killed job repeats little work.")  # fmt: skip


class ModelOptions(BaseModel):
    """Model"""

    model: str = Field(description="InternVL checkpoint: a local directory, a directory in a "
        f"store ({stores_in_words()}), or a Hugging Face name. With --engine openai: "
        "the server's name for the model.")  # fmt: skip
    revision: str | None = Field(None, description="Branch, tag or commit of a checkpoint on the "
        "Hugging Face Hub. Default: main.")  # fmt: skip
    engine: Literal["vllm", "openai", "transformers"] = Field(
        "vllm", description="Run the model with vLLM in this job, on a server with the OpenAI "
        "interface at --base-url, or with plain transformers, which is slow.")  # fmt: skip
    base_url: str | None = Field(None, description="Address of the server for --engine openai, up "
        "to and including /v1. Its key is read from the environment variable "
        "OPENAI_API_KEY.")  # fmt: skip
    engines: Places | None = Field(None, description="Number of engines. Default: as many as fit "
        "the cluster's GPUs, or one on CPUs.")  # fmt: skip
    gpus_per_engine: PlacesOrNone | None = Field(None, description="GPUs per engine (tensor "
        "parallel size). Default: 1, or 0 on a cluster without GPUs.")  # fmt: skip
    engine_args: dict[str, Any] = Field({}, description="Engine arguments as JSON. For vllm: its "
        'own, such as \'{"quantization": "awq"}\'. For transformers: those of from_pretrained. For '
        "openai: concurrency, away_s, answer_s, attempts, streams, send_max_tiles, "
        "extra_body.")  # fmt: skip
    engine_timeout: PositiveSeconds = Field(600, description="Restart an engine that has requests "
        "but produced no token for this many seconds.")  # fmt: skip
    lora: str | None = Field(None, description="Apply a LoRA adapter to the model: PATH or "
        "NAME=PATH of a folder as PEFT saves it.")  # fmt: skip
    trust_remote_code: bool = Field(False, description="Allow the checkpoint's own Python code to "
        "run.")  # fmt: skip


class PromptOptions(BaseModel):
    """Prompt and answer"""

    prompt: str | None = Field(None, description="Prompt for every unit. A row's own question "
        "column has priority. Default: the task's prompt.")  # fmt: skip
    system_message: str | None = Field(
        None, description="System message. Default: the checkpoint's."
    )
    think: bool = Field(False, description="Let the model think before it answers: ask with the "
        "system message that makes InternVL3.5 think, and put the thoughts into the column "
        "thought, apart from the answer. --max-new-tokens is then 8,192 by default. "
        "Its model card recommends --temperature 0.6.")  # fmt: skip
    max_new_tokens: NewTokens | None = Field(None, description="Maximum number of tokens in an "
        "answer. Default: the task's.")  # fmt: skip
    temperature: Temperature = Field(0.0, description="Sampling temperature; 0 is greedy, as in "
        'InternVL\'s evaluations. A row\'s own sampling_params column, such as {"temperature": '
        '0.7, "seed": 3}, has priority; it may set max_new_tokens, min_new_tokens, '
        "temperature, top_p, top_k, repetition_penalty and seed.")  # fmt: skip
    top_p: TopP = Field(1.0, description="Nucleus sampling: draw from the most likely tokens that "
        "have this total probability. Applies above temperature 0.")  # fmt: skip
    top_k: TopK = Field(0, description="Draw from this many of the most likely tokens; 0 draws "
        "from all. Applies above temperature 0.")  # fmt: skip
    min_new_tokens: int = Field(0, ge=0, lt=2**31, description="Minimum number of tokens in an "
        "answer, unless --max-new-tokens is less. Answers with a fixed form, such as JSON, end "
        "where the form ends. Of servers, only vLLM's receive it.")  # fmt: skip
    repetition_penalty: RepetitionPenalty = Field(1.0, description="Penalty for tokens that "
        "already occurred; 1 is none.")  # fmt: skip
    seed: Seed = Field(0, description="Seed for sampling. Applies above temperature 0.")
    n: Annotated[int, Field(ge=1, le=64)] = Field(1, description="Number of independent answers to "
        "each unit. The first is the result; the column samples has all. Needs a temperature above "
        "0.")  # fmt: skip
    log_probs: bool = Field(False, description="Add the column mean_logprob: the mean "
        "log-probability of the answer's tokens.")  # fmt: skip
    stop: tuple[str, ...] = Field((), description="End an answer at this text and leave the text "
        "out. Repeat for more.")  # fmt: skip
    retries: Annotated[int, Field(ge=0, le=4)] = Field(2, description="Generate an answer again up "
        "to this many times if it repeats itself or is cut off, at temperatures 0.2, 0.5, 0.8, "
        "1.")  # fmt: skip
    retry_cut: bool = Field(True, description="Also generate an answer again if it was cut off at "
        "--max-new-tokens, not only if it repeats itself.")  # fmt: skip
    special_tokens: Literal["text", "recognised"] = Field("text", description="How to read special "
        "tokens, such as <|im_end|>, that a question or system message contains. text: as text, "
        "except <image>, <ref>, <box> and <quad>. recognised: as special tokens. With --engine "
        "openai, the server recognises its own.")  # fmt: skip
    combine_images: bool = Field(False, description="Write one <image> into the prompt for all "
        "images of a row, instead of Image-1: <image>, Image-2: <image> …")  # fmt: skip


class InferenceOptions(MediaOptions, PromptOptions, ModelOptions):
    """What decides an answer. Jobs and the preview build engines, preparers and generators from
    it."""


class ClusterOptions(BaseModel):
    """Cluster"""

    ray_address: str | None = Field(None, description="Ray cluster to run on. Default: "
        "RAY_ADDRESS, which `ray job submit` sets, or a local cluster started for the "
        "job.")  # fmt: skip
    verbose: bool = Field(False, description="Show the output of the workers, including the "
        "engine's log.")  # fmt: skip
    quiet: bool = Field(False, description="Write only warnings and errors, and the closing "
        "summary only if the run did not end well.")  # fmt: skip
    log_json: bool = Field(False, description="Write the log to standard error as JSON, one object "
        "per line, including progress.")  # fmt: skip
    openlineage: bool = Field(False, description="Send an OpenLineage event at the start and at "
        "the end of the run, to where OPENLINEAGE_URL or openlineage.yml say.")  # fmt: skip
    autoscaling: bool = Field(False, description="Request --engines, --gpus-per-engine and "
        "--prepare-actors as given, for a cluster that adds nodes on demand, instead of checking "
        "them against its current nodes.")  # fmt: skip
    prepare_actors: Places | None = Field(None, description="CPU actors that fetch, decode and "
        "tile. Default: the cluster's CPUs minus one per engine.")  # fmt: skip
    in_flight: Places | None = Field(None, description="Units that an engine holds at once, "
        "running and queued. Default: 512 on a GPU, 32 on CPUs, 64 for a server.")  # fmt: skip
    rows_per_block: Places | None = Field(None, description="Units that travel together in one "
        "block. Default: as many as fit 64 MiB of tiles, at most 8; up to 64 small ones, such as "
        "questions without images, in a long run; 1 if a row may have several files.")  # fmt: skip


class EstimateOptions(BaseModel):
    """Estimate"""

    gpu: str | None = Field(None, description="Kind of GPU to estimate for, such as h100. Default: "
        "this machine's GPU, else h100.")  # fmt: skip
    price_per_gpu_hour: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Price of one GPU hour, in any currency, for --estimate and for the "
        "record of a run.")  # fmt: skip
    completion_tokens: Positive | None = Field(None, description="Tokens that --estimate assumes "
        "for the answers of a unit. Default: the maximum.")  # fmt: skip
    sample_rows: Positive = Field(1000, description="Number of manifest rows that --estimate "
        "samples.")  # fmt: skip


@dataclass(frozen=True)
class InputNeeds:
    """What a task needs of the input.

    Args:
        media_optional: Whether a row may do without media.
        without_media: Whether media are not read at all.
        page_by_page: Whether a TIFF of several pages is a document, if nothing else says what it
            is.
        prompt_columns: Columns that decide what is asked, and so a made id.
    """

    media_optional: bool = False
    without_media: bool = False
    page_by_page: bool = False
    prompt_columns: tuple[str, ...] = PROMPT_COLUMNS


class JobOptions(
    EstimateOptions, ClusterOptions, InferenceOptions, AgainOptions, OutputOptions, InputOptions
):
    """Every option; a task's own class narrows the defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @property
    def input_needs(self) -> InputNeeds:
        """What the task needs of the input."""
        return InputNeeds()

    def make_task(self, media: MediaKind, columns: Sequence[str]) -> Task:
        """The task of the job, for media of this kind and rows with these columns."""
        raise NotImplementedError("the options of each task have it")


def tiles(default: int | None) -> Any:
    """``--max-tiles`` with a task's own default; None where something else of the options gives
    it."""
    return Field(default, ge=1, le=40, description=JobOptions.model_fields["max_tiles"].description)
