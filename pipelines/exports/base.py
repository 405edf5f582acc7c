"""What every form has: options, the output, and checks before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from internvl_ops.stores.redaction import safe_uri
from pipelines.exports.answers import OutputView
from pipelines.exports.counts import ExportCounts
from pipelines.exports.options import ExportOptions
from pipelines.exports.target import WRITER


class ExportForm:
    """A form of an export.

    Args:
        options: Options of the export.
        answers: The output.
    """

    joined: tuple[str, ...] = ()  # keys of the other tables that join the rows
    fetches: bool = False  # whether it fetches media, so that many nodes are faster
    media_modes: ClassVar[tuple[str, ...]] = ()  # values of --media that it can do besides auto

    def __init__(self, options: ExportOptions, answers: OutputView) -> None:
        self.options, self.answers = options, answers
        self.splitter = options.splitter

    def check(self) -> None:
        """Refuses an output or options that this form cannot be made of.

        Raises:
            ConfigurationError: With what is missing.
        """

    def check_media(self, rows: Sequence[dict[str, Any]]) -> None:
        """Refuses an export that may not read its media.

        Args:
            rows: Some rows.

        Raises:
            ConfigurationError: With the options that would allow it.
        """

    @property
    def needs(self) -> tuple[str, ...] | None:
        """Columns that it reads; None for all."""
        return None

    def identity(self) -> dict[str, Any]:
        """What the content of the files depends on besides the rows."""
        told = {
            "prompt": self.answers.prompt,
            "settings": self.answers.settings,
            "bases": self.answers.bases,
        }
        return self.options.identity() | told | {"media": self.answers.media, "joined": self.joined}

    def about(self, counts: ExportCounts) -> dict[str, Any]:
        """The content of ``export.json`` that every form has."""
        return {
            "written_by": WRITER,
            "to": self.options.to,
            "options": self.options.identity(),
            "input": safe_uri(self.answers.uri),
            "task": self.answers.task,
            "prompt": self.answers.prompt,
            "model": self.answers.model,
            **counts.as_dict(),
        }
