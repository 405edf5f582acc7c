"""Options of an export."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from pipelines.exports.forms import FORMS
from pipelines.exports.splits import Splitter, parse_ratios

if TYPE_CHECKING:
    FormName = str
else:
    FormName = Literal[tuple(FORMS)]


class ExportInputOptions(BaseModel):
    """Input"""

    input: str = Field(description="The --output of a job: the folder that holds results/.")
    where: str | None = Field(None, description="Condition in SQL (DuckDB) on the columns of "
        "results, such as \"finish_reason = 'stop' AND len(caption) > 20\". Rows for which it is "
        "not true are left out.")  # fmt: skip
    verdicts: str | None = Field(None, description="Output of `internvl-batch filter` over this "
        "input: leave out the units that it drops or wants reviewed.")  # fmt: skip
    take: tuple[Literal["keep", "review", "drop"], ...] = Field(("keep",), description="Verdict "
        "whose units are exported, with --verdicts. Repeat for more.")  # fmt: skip
    reviews: bool = Field(False, description="Heed the marks in reviews/ of the input: leave out "
        "units marked bad, take those marked good whatever their verdict, and export edited "
        "texts.")  # fmt: skip
    columns: str | None = Field(None, description="Columns of results to keep, separated by "
        "commas; id is always kept. Default: all in a table; in conversations those of the form "
        "alone.")  # fmt: skip
    media_column: str | None = Field(
        None, description="Column with the media. Default: the one that the runs read."
    )
    media_root: str | None = Field(None, description="What relative media paths are relative to. "
        "Default: the folder of the input that the runs read.")  # fmt: skip
    while_running: bool = Field(False, description="Export what is there, even while a run is "
        "still writing. By default, such an output is refused.")  # fmt: skip
    allow: tuple[str, ...] = Field((), description="Also allow media with this URI prefix. The "
        "folder or bucket of the input and public http(s) addresses are always allowed. Repeat for "
        "more.")  # fmt: skip
    http_header: tuple[str, ...] = Field((), description="Header of http(s) fetches as NAME=VALUE, "
        "as for the jobs. Never shown. Repeat for more.")  # fmt: skip
    s3_anonymous: bool = Field(
        False, description="Read media from S3 without credentials, as public buckets allow."
    )
    max_bytes: Annotated[int, Field(ge=1)] = Field(
        100_000_000, description="Largest file to fetch, in bytes."
    )
    fetch_timeout: Annotated[int, Field(ge=1)] = Field(
        60, description="Time limit for one fetch, in seconds."
    )
    pdf_password: SecretStr | None = Field(None, description="Password for encrypted PDFs whose "
        "pages are rendered again. Default: the environment variable INTERNVL_PDF_PASSWORD, which "
        "other users of the machine cannot read.")  # fmt: skip

    @field_validator("pdf_password", mode="before")
    @classmethod
    def _password_is_text(cls, given: Any) -> Any:
        return given if given is None or isinstance(given, SecretStr) else SecretStr(str(given))


class ExportOutputOptions(BaseModel):
    """Output"""

    output: str = Field(description="Where to write the export: a local path or the URI of a "
        "store; an empty folder, or an earlier export.")  # fmt: skip
    to: FormName = Field(description="Form of the export; docs/exports.md says what each writes.")
    split: str | None = Field(None, description="Splits and their shares, such as "
        "train=0.9,val=0.1. A row's split follows from its id, and stays the same as the output "
        "grows; the rest of 1 is left out.")  # fmt: skip
    split_column: str | None = Field(
        None, description="Column with the name of a row's split, instead of --split."
    )
    name: str | None = Field(None, description="Name of the dataset. Default: that of the folder.")
    media: Literal["auto", "copy", "reference"] = Field("auto", description="Whether the export "
        "holds the images, fetched again, or their addresses. auto: copy for hf, reference for "
        "sft, llava and sharegpt.")  # fmt: skip
    shard_mb: Annotated[int, Field(ge=1)] = Field(1024, description="Size at which a shard of "
        "webdataset is full, in MiB.")  # fmt: skip
    cut: tuple[Literal["figure", "table", "formula"], ...] = Field(("figure",), description="Type "
        "of block whose picture is cut out, with --to figures. Repeat for more.")  # fmt: skip
    push_to_hub: str | None = Field(None, description="With --to hf: dataset on the Hugging Face "
        "Hub, OWNER/NAME, that the export is pushed to as well. Uses the token of HF_TOKEN or of "
        "`hf auth login`.")  # fmt: skip
    catalog: str | None = Field(None, description="With --to iceberg: a catalog of pyiceberg's "
        "configuration and the table in it, NAME:NAMESPACE.TABLE. Default: no "
        "catalog.")  # fmt: skip
    private: bool = Field(
        False, description="With --push-to-hub: make the dataset private, if it is new."
    )
    overwrite: bool = Field(
        False,
        description="Replace an earlier export that has another form or other options; try "
        "again media that could not be read.",
    )

    @field_validator("split")
    @classmethod
    def _split_can_be_read(cls, given: str | None) -> str | None:
        if given is not None:
            parse_ratios(given)
        return given

    @field_validator("catalog")
    @classmethod
    def _catalog_names_a_table(cls, given: str | None) -> str | None:
        if given is not None and not re.fullmatch(r"[^:\s]+:[^.:\s]+(\.[^.:\s]+)+", given):
            raise ValueError("must be NAME:NAMESPACE.TABLE, such as prod:captions.nightly")
        return given

    @field_validator("name")
    @classmethod
    def _name_is_a_name(cls, given: str | None) -> str | None:
        if given is not None and not re.fullmatch(r"[\w.-]{1,96}", given, re.ASCII):
            raise ValueError("must be of letters, digits, and . _ -")
        return given

    @model_validator(mode="after")
    def _one_way_to_split(self) -> ExportOutputOptions:
        if self.split is not None and self.split_column is not None:
            raise ValueError(
                "--split and --split-column cannot be combined; leave one of them out."
            )
        return self


class ExportRunOptions(BaseModel):
    """Running"""

    ray_address: str | None = Field(None, description="Ray cluster whose nodes fetch media. "
        "Default: RAY_ADDRESS, which `ray job submit` sets; without it this process does "
        "all.")  # fmt: skip
    log_json: bool = Field(
        False, description="Write the log on standard error as JSON, one object a line."
    )
    dry_run: bool = Field(False, description="Check everything, print the plan, and write nothing.")


class ExportOptions(ExportRunOptions, ExportOutputOptions, ExportInputOptions):
    """Export"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="after")
    def _verdicts_to_take(self) -> ExportOptions:
        if self.take != ("keep",) and self.verdicts is None:
            raise ValueError("--take chooses among verdicts: add --verdicts, or leave it out.")
        return self

    @property
    def kept_columns(self) -> tuple[str, ...] | None:
        """Names in ``--columns``; None if it is not given."""
        if self.columns is None:
            return None
        return tuple(
            dict.fromkeys(name.strip() for name in self.columns.split(",") if name.strip())
        )

    @property
    def splitter(self) -> Splitter:
        return Splitter(parse_ratios(self.split) if self.split else (), self.split_column)

    @property
    def dataset_name(self) -> str:
        """Name of the dataset."""
        last = self.output.rstrip("/").rpartition("/")[2]
        return self.name or re.sub(r"[^\w.-]+", "_", last, flags=re.ASCII).strip("._-") or "dataset"

    def identity(self) -> dict[str, Any]:
        """The options that the content of an export depends on."""
        indifferent = {
            "input",
            "output",
            "overwrite",
            "while_running",
            "ray_address",
            "log_json",
            "dry_run",
        }
        indifferent |= {
            "allow",
            "http_header",
            "s3_anonymous",
            "max_bytes",
            "fetch_timeout",
            "pdf_password",
            "push_to_hub",
            "private",
        }
        # exports of older versions do not have it
        indifferent |= {"catalog"} if self.catalog is None else set()
        indifferent |= set() if self.to == "figures" else {"cut"}
        return self.model_dump(mode="json", exclude=indifferent) | {"name": self.dataset_name}
