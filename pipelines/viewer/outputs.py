"""One output as the viewer sees it: its files, the records of its runs, and how its media may be
read."""

from __future__ import annotations

import json
import logging
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import ValidationError

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.kinds import MediaKind
from internvl_ops.stores.redaction import safe_text, safe_uri
from pipelines.options.media_options import MediaOptions
from pipelines.output.folder import ERRORS, RESULTS, REVIEWS, RUNS, OutputFolder
from pipelines.output.media_places import base_of, media_column_of
from pipelines.sources.storage import check_scheme
from pipelines.wiring.media import reader_arguments

if TYPE_CHECKING:
    from pipelines.wiring.media import ReaderArguments

logger = logging.getLogger(__name__)

Table = Literal["results", "errors", "documents"]
TABLES: tuple[Table, ...] = get_args(Table)
_RUNS_READ = 20  # records read at the start; older ones when a unit of theirs is looked at


@dataclass(frozen=True, kw_only=True)
class Access:
    """What may be read besides what the runs could read.

    Args:
        allow: Prefixes, as `ReadPolicy` takes them.
        media_root: Base of relative media URIs, where it is not that of the run.
        s3_anonymous: Read media from S3 without credentials.
        media: Whether media are read at all.
    """

    allow: tuple[str, ...] = ()
    media_root: str | None = None
    s3_anonymous: bool = False
    media: bool = True


@dataclass
class ViewedOutput:
    """An output that is looked at.

    Args:
        uri: A local path, or ``s3://bucket/prefix``.
        access: What may be read.
    """

    uri: str
    access: Access = field(default_factory=Access)

    def __post_init__(self) -> None:
        self.folder = OutputFolder(self.uri)
        self.folder.check_listable(safe_uri(self.uri))
        self.name = posixpath.basename(self.folder.uri.rstrip("/")) or self.folder.uri
        self._records: dict[str, dict[str, Any]] = {}
        self._runs: list[str] = []
        self.files: dict[str, list[str]] = {}
        self.reload()
        if not any(self.files[table] for table in (RESULTS, ERRORS)):
            raise ConfigurationError(
                f"{safe_uri(self.uri)} holds no results/*.parquet and no errors/*.parquet. Give the"
                " folder that a job had as --output."
            )

    def reload(self) -> None:
        """Lists the files again, for runs that go on."""
        self.folder.fences = None
        self.files = {name: self.folder.files(name) for name in (*TABLES, REVIEWS)}
        self._runs = sorted(
            name for name in self.folder.list_names(RUNS) if not name.startswith(".")
        )

    def runs(self) -> list[dict[str, Any]]:
        """The records of the newest runs, the newest first."""
        return [
            record for run in reversed(self._runs[-_RUNS_READ:]) if (record := self.record(run))
        ]

    def record(self, run_id: str) -> dict[str, Any]:
        """``run.json`` of a run; empty if it cannot be read."""
        if run_id not in self._records:
            try:
                found = (
                    json.loads(self.folder.read_bytes(f"{RUNS}/{run_id}/run.json"))
                    if run_id in self._runs
                    else {}
                )
            except (OSError, ValueError) as error:
                logger.info(
                    "%s/%s/run.json cannot be read: %s", RUNS, run_id, safe_text(str(error))
                )
                found = {}
            self._records[run_id] = found if isinstance(found, dict) else {}
        return self._records[run_id]

    def configuration(self, run_id: str | None) -> dict[str, Any]:
        """The options of a run, or of the newest one; empty if there is no record."""
        for name in (run_id, *reversed(self._runs[-_RUNS_READ:])):
            found = self.record(name).get("configuration") if name else None
            if isinstance(found, dict):
                return found
        return {}

    def media_column(self, columns: Sequence[str]) -> str | None:
        """The column of ``results/`` with the media; None if the output does not hold their
        places."""
        return media_column_of(columns, self.configuration(None))

    def reading(self, run_id: str | None, kind: MediaKind) -> ReaderArguments:
        """How the media of a run are read: its own policy and options, and what ``access`` adds.

        Raises:
            ConfigurationError: The place of its media cannot be used.
        """
        configuration = self.configuration(run_id)
        root = self.access.media_root
        policy = ReadPolicy(
            check_scheme("--media-root", root) if root else base_of(configuration),
            (*_texts(configuration.get("allow")), *self.access.allow),
            s3_anonymous=self.access.s3_anonymous or bool(configuration.get("s3_anonymous")),
            s3_requester_pays=bool(configuration.get("s3_requester_pays")),
        )
        return reader_arguments(_decoding(configuration), policy, kind)


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _decoding(configuration: dict[str, Any]) -> MediaOptions:
    """The media options of a run. A record of another version may lack some, or hold some that are
    not known here."""
    given = {
        name: configuration[name]
        for name in MediaOptions.model_fields
        if configuration.get(name) is not None
    }
    while True:
        try:
            return MediaOptions.model_validate(given)
        except ValidationError as error:
            wrong = {
                str(detail["loc"][0]) for detail in error.errors() if detail["loc"]
            } & given.keys()
            if not wrong:
                return MediaOptions.model_validate({})
            given = {name: value for name, value in given.items() if name not in wrong}
