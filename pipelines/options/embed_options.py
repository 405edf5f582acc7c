"""Options of the job that makes vectors."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from internvl_ops.engines.served_vectors import served_size
from internvl_ops.errors import ConfigurationError
from internvl_ops.evaluation.vector_benchmarks import ZeroShotName
from internvl_ops.media.fits import Fit
from internvl_ops.media.kinds import MediaKind
from internvl_ops.models.encoders.config import Encoder, Pooling, load_encoder
from internvl_ops.models.encoders.text_config import load_text_encoder, served_encoder
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.tasks import Task
from internvl_ops.tasks.embedding import VectorType, embed
from pipelines.options.job_options import InputNeeds, JobOptions, PromptOptions, tiles
from pipelines.options.label_files import read_labels
from pipelines.options.numbers import PositiveSeconds
from pipelines.options.rules import check_column, refuse
from pipelines.sources.options import PROMPT_COLUMNS


class EmbedOptions(BaseModel):
    """Vectors"""

    pooling: Pooling | None = Field(None, description="How to make one vector of a picture's "
        "tokens. class: the class token. mean: the mean of all others. projected, of chat "
        "checkpoints: the mean of the tokens that the language model gets. c and g, of "
        "InternVL-14B-224px: as InternVL-C and InternVL-G. last, of texts: the last token. none: "
        "keep the last hidden state, a vector for each token, in the column vectors. Default: "
        "projected for chat checkpoints, c for InternVL-14B-224px, of texts as the checkpoint "
        "says, else class. A server pools itself.")  # fmt: skip
    fit: Fit | None = Field(None, description="How to make a picture square. stretch: distort it. "
        "crop: take the middle. pad: fill up with the mean colour. Default: as the checkpoint's "
        "model card does it. Pages are drawn to fill the square unless there is a "
        "--dpi.")  # fmt: skip
    normalise: bool = Field(True, description="Give every vector the length one, so that the "
        "product of two is their cosine.")  # fmt: skip
    vector_type: VectorType = Field("float32", description="Type of a vector's numbers. float16 "
        "takes half the space and keeps three digits.")  # fmt: skip
    text_column: str | None = Field(None, description="Embed the text in this column, instead of "
        "pictures: with the text encoder of InternVL-14B-224px, with any text encoder by --engine "
        "vllm, or by a server with --engine openai.")  # fmt: skip
    labels: tuple[str, ...] = Field((), description="Also say which of these labels fits a picture "
        "best, with the probability of each, by InternVL-14B-224px without training (zero-shot). "
        "Repeat for more.")  # fmt: skip
    taxonomy: str | None = Field(None, description="YAML or JSON file with the labels, as of the "
        "command classify. A text below a label stands for it in --template.")  # fmt: skip
    template: tuple[str, ...] = Field(("a photo of a {}.",), description="Text that says a label, "
        "with {} in its place. Repeat for more; a label's vector is the mean of all. Default: a "
        "photo of a {}.")  # fmt: skip
    truth_column: str | None = Field(
        None, description="Column with the true label, for the figures at the end."
    )
    benchmark: ZeroShotName | None = Field(None, description="Benchmark to which the input "
        "belongs: print its published figures beside those of --truth-column.")  # fmt: skip
    text_prefix: str = Field(
        "summarize:",
        description="What stands before every text, such as 'query: '. Default: of "
        "InternVL-14B-224px summarize:, as on its model card; of other encoders nothing.",
    )


class EmbedJobOptions(EmbedOptions, JobOptions):
    """Vectors are not generated, so the options of prompts and answers do not apply."""

    model: str = Field(description="Checkpoint that gives the vectors: an InternViT, a chat "
        "checkpoint of the family, or OpenGVLab/InternVL-14B-224px; with --engine vllm any encoder "
        "of texts. A local directory, a directory in a store, or a Hugging Face name. With "
        "--engine openai: the server's name for the model.")  # fmt: skip
    engine: Literal["torch", "vllm", "openai"] = Field(  # type: ignore[assignment]
        "torch",
        description=(
            "Run the model in plain torch; an encoder of texts with vLLM; or ask a server with"
            " OpenAI's /v1/embeddings at --base-url for vectors of texts."
        ),
    )
    base_url: str | None = Field(None, description="Address of the server for --engine openai, up "
        "to and including /v1. Its key is read from the environment variable "
        "OPENAI_API_KEY.")  # fmt: skip
    engine_args: dict[str, Any] = Field(
        {},
        description=(
            'Engine arguments as JSON. For torch: dtype, such as "float32", and batch, the pictures'
            " or texts in one pass of the model. For vllm: its own. For openai: batch, the texts in"
            " one request, concurrency, away_s, answer_s, attempts, extra_body."
        ),
    )
    engine_timeout: PositiveSeconds = Field(600, description="Restart an engine that has requests "
        "but gave no vector for this many seconds.")  # fmt: skip
    max_tiles: int = tiles(1)

    # options on which no vector depends
    print_only: ClassVar[frozenset[str]] = frozenset({"benchmark"})
    left_out: ClassVar[dict[str, str]] = {
        **dict.fromkeys(
            PromptOptions.model_fields, "vectors have no prompt and no answer in words"
        ),
        "lora": "no engine of vectors takes an adapter",
        **dict.fromkeys(
            ("gpu", "completion_tokens", "sample_rows"), "there is no estimate for vectors yet"
        ),
        **dict.fromkeys(
            ("fallback", "fallback_base_url", "fallback_args"), "two models have two spaces"
        ),
        "text_layer": "pages are embedded as they look",
        "tiling": "--max-tiles says how many tiles a picture gets",
        "blank": "every picture has a vector",
    }

    @property
    def input_needs(self) -> InputNeeds:
        """What the task needs of the input."""
        if self.text_column is None:
            return InputNeeds(prompt_columns=())
        return InputNeeds(
            media_optional=True,
            without_media=True,
            prompt_columns=(*PROMPT_COLUMNS, self.text_column),
        )

    @functools.cached_property
    def encoder(self) -> Encoder:
        """The checkpoint, or what a server runs.

        Raises:
            ConfigurationError: It is none that gives vectors, or the server does not answer.
        """
        _check_engine(self)
        if self.engine == "vllm":
            return load_text_encoder(self.model, self.revision)
        if self.engine == "openai":
            return served_encoder(self.model, self._served_size())
        return load_encoder(self.model, self.revision)

    def _served_size(self) -> int:
        if self.base_url is None:
            raise ConfigurationError(
                "--engine openai: no server is named. Add --base-url http://HOST:PORT/v1."
            )
        extra = self.engine_args.get("extra_body")
        return served_size(self.base_url, self.model, extra_body=extra)

    @property
    def resolved_prefix(self) -> str:
        """What stands before every text."""
        given = "text_prefix" in self.model_fields_set
        return self.text_prefix if given or self.engine == "torch" else ""

    @functools.cached_property
    def label_words(self) -> dict[str, str]:
        """The labels with the words that stand for each; empty without labels.

        Raises:
            ConfigurationError: They cannot be read.
        """
        labels = read_labels(self.labels, self.taxonomy)
        return {label: words or label.rpartition("/")[2] for label, words in labels.items()}

    @property
    def resolved_pooling(self) -> Pooling:
        """How vectors are pooled."""
        return self.pooling or self.encoder.pooling

    def make_task(self, media: MediaKind, columns: Sequence[str]) -> Task:
        """The task for this input."""
        encoder, pooling = self.encoder, self.resolved_pooling
        if pooling == "none":
            _check_states(self)
        if self.text_column is not None:
            _check_texts(self, encoder, pooling, columns)
        _check_labels(self, encoder, columns)
        labels = self.label_words
        if self.text_column is None and not labels:
            refuse(
                self,
                ("text_prefix",),
                "pictures are embedded; name the column with texts by --text-column",
            )
        if (self.fit or encoder.fit) == "crop":
            refuse(
                self,
                ("max_tiles", "min_tiles"),
                "the middle of a picture is one tile; add --fit stretch",
            )
        details: dict[str, object] = {"pooling": pooling, "fit": self.fit or encoder.fit}
        details |= {"labels": labels} if labels else {}
        details |= {} if self.engine == "torch" else {"text_prefix": self.resolved_prefix}
        return embed(
            encoder.size(pooling),
            vector_type=self.vector_type,
            text_column=self.text_column,
            labels=list(labels),
            states=pooling == "none",
            details=details,
        )


def _check_engine(options: EmbedJobOptions) -> None:
    """Refuses options of another engine.

    Raises:
        ConfigurationError: An option does not fit the engine.
    """
    if options.engine != "openai" and options.base_url is not None:
        raise ConfigurationError(
            f"--base-url {safe_uri(options.base_url)}: --engine {options.engine} runs the model"
            " itself. Add --engine openai, or leave the address out."
        )
    if options.engine != "vllm":
        refuse(options, ("trust_remote_code",), "the model runs in plain torch, or on the server")
    if options.engine == "openai" and options.pooling not in (None, "server"):
        raise ConfigurationError(
            f"--pooling {options.pooling}: the server pools. Leave it out with --engine openai."
        )
    if options.engine != "torch" and options.text_column is None:
        raise ConfigurationError(
            f"--engine {options.engine} embeds texts. Name the column with texts by --text-column,"
            " or leave the engine out to embed pictures."
        )


def _check_states(options: EmbedJobOptions) -> None:
    if options.labels or options.taxonomy is not None:
        raise ConfigurationError(
            "--pooling none: labels need one vector of a picture. Give --pooling c or g."
        )


def _check_labels(options: EmbedJobOptions, encoder: Encoder, columns: Sequence[str]) -> None:
    """Refuses labels that cannot be used.

    Raises:
        ConfigurationError: An option about labels cannot be used.
    """
    if not options.labels and options.taxonomy is None:
        refuse(
            options,
            ("template", "truth_column", "benchmark"),
            "there are no labels; add --labels or --taxonomy",
        )
        return
    if options.truth_column is None:
        refuse(options, ("benchmark",), "there are no figures; add --truth-column")
    named = (
        f"--taxonomy {safe_uri(options.taxonomy)}"
        if options.taxonomy
        else f"--labels {' '.join(options.labels)}"
    )
    if options.labels and options.taxonomy is not None:
        raise ConfigurationError(
            f"--labels and --taxonomy {options.taxonomy}: two lists of labels. Leave one out."
        )
    if encoder.layout != "dual" or options.resolved_pooling not in ("c", "g"):
        raise ConfigurationError(
            f"{named:.200}: labels are texts, and only InternVL-14B-224px with --pooling c or g"
            " puts texts beside pictures."
        )
    if options.text_column is not None:
        raise ConfigurationError(f"{named:.200}: labels are for pictures. Leave --text-column out.")
    if wrong := [one for one in options.template if one.count("{}") != 1]:
        raise ConfigurationError(
            f"--template {wrong[0]!r:.100}: write {{}} once, where the label stands."
        )
    check_column(options, "truth_column", columns)
    if len(options.label_words) < 2:
        raise ConfigurationError(f"{named:.200}: give at least two labels.")


def _check_texts(
    options: EmbedJobOptions, encoder: Encoder, pooling: Pooling, columns: Sequence[str]
) -> None:
    check_column(options, "text_column", columns)
    if not encoder.reads_texts:
        raise ConfigurationError(
            f"--text-column {options.text_column}: {encoder.model} has no text encoder. Use --model"
            " OpenGVLab/InternVL-14B-224px, or an encoder of texts with --engine vllm."
        )
    if pooling not in encoder.poolings_of_texts:
        raise ConfigurationError(
            f"--pooling {pooling}: texts and pictures share a space only by c and g. Leave it out,"
            " or give one of them."
        )
    refuse(options, ("fit", "max_tiles"), "texts are embedded, not pictures")


def label_texts(options: EmbedJobOptions) -> list[list[str]]:
    """The texts that say each label, in the order of the labels; empty without labels."""
    words = options.label_words.values()
    return [[template.replace("{}", one) for template in options.template] for one in words]
