"""The output that is exported: its columns, what was asked, and where its media are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.kinds import MediaKind
from internvl_ops.stores.redaction import safe_uri
from pipelines.output.folder import RESULTS, RUNS, OutputFolder
from pipelines.output.media_places import base_of, media_column_of, media_kind_of
from pipelines.output.overwrite import replaced_files
from pipelines.output.settings import METADATA_KEY
from pipelines.patience import patiently
from pipelines.sources.storage import check_scheme

_RUNS_READ = 20  # newest records; enough to notice that inputs differ


@dataclass(frozen=True)
class OutputView:
    """An output as exports see it.

    Args:
        uri: The output.
        schema: Columns of its results.
        task: Name of the task.
        prompt: Asked where a row has no question of its own.
        settings: The settings that determined the answers; see `pipelines.output.settings`.
        media: Column with the media; None if rows have none.
        media_kind: Kind of the media.
        bases: What relative media URIs may be relative to; several if the runs had different
            inputs.
    """

    uri: str
    schema: pa.Schema
    task: str
    prompt: str
    settings: Mapping[str, Any]
    media: str | None
    media_kind: MediaKind
    bases: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        return str(self.setting("model") or "")

    @property
    def own(self) -> frozenset[str]:
        """The task's own columns."""
        return frozenset(field.name for field in self.schema if b"task" in (field.metadata or {}))

    def setting(self, name: str) -> Any:
        """A setting; a long text as it may be shown."""
        value = self.settings.get(name)
        return value.get("shown") if isinstance(value, dict) and "shown" in value else value

    @property
    def base(self) -> str:
        """What relative media URIs are relative to; empty if that is not known.

        Raises:
            ConfigurationError: The runs do not agree.
        """
        if len(self.bases) > 1:
            raise ConfigurationError(
                f"--input {safe_uri(self.uri)}: its runs read inputs in different folders"
                f" ({', '.join(self.bases)}), so that it is not known what relative paths of media"
                " are relative to. Add --media-root."
            )
        return self.bases[0] if self.bases else ""


def open_answers(
    output: OutputFolder, *, media_column: str | None = None, media_root: str | None = None
) -> OutputView:
    """Looks at an output.

    Args:
        output: The output.
        media_column: Column with the media; by default the one that the runs read.
        media_root: What relative media URIs are relative to; by default the folder of the runs'
            input.

    Raises:
        ConfigurationError: It holds no results, or a run that replaces them has not ended.
    """
    files = output.files(RESULTS)
    if not files:
        raise ConfigurationError(
            f"--input {safe_uri(output.uri)} holds no results: {RESULTS}/ has no Parquet file. Give"
            " the --output of a job that has written answers."
        )
    if replaced_files(output):
        raise ConfigurationError(
            f"--input {safe_uri(output.uri)}: a run with --overwrite has begun to replace the"
            " results and has not ended, so that units have two rows. Repeat its command to the"
            " end, then export."
        )
    schema = output.read_schema(files[-1])
    said = schema.metadata or {}
    settings = json.loads(said.get(METADATA_KEY, b"{}"))
    configurations = _configurations(output)
    column = media_column or media_column_of(
        schema.names, configurations[-1] if configurations else {}
    )
    if media_column is not None and media_column not in schema.names:
        raise ConfigurationError(
            f"--media-column {media_column}: results have no such column. Columns there:"
            f" {', '.join(schema.names)}."
        )
    given = () if media_root is None else (check_scheme("--media-root", media_root),)
    return OutputView(
        uri=output.uri,
        schema=schema,
        task=said.get(b"task", b"").decode(),
        prompt=said.get(b"prompt", b"").decode(),
        settings=settings,
        media=column,
        media_kind=media_kind_of(schema.names),
        bases=given or tuple(dict.fromkeys(filter(None, map(base_of, configurations)))),
    )


def _configurations(output: OutputFolder) -> list[dict[str, Any]]:
    """The configurations of the newest runs, the newest last."""
    names = patiently(
        lambda: output.list_names(RUNS), f"{safe_uri(output.uri)}/{RUNS} could not be listed"
    )
    found = []
    for name in sorted(name for name in names if not name.startswith("."))[-_RUNS_READ:]:
        try:
            record = json.loads(output.read_bytes(f"{RUNS}/{name}/run.json"))
        except (OSError, ValueError):  # a run that did not end has no record
            continue
        if isinstance(record, dict) and isinstance(record.get("configuration"), dict):
            found.append(record["configuration"])
    return found
