"""Fetches the media of rows again, through the same read policy as a job, and checks that they are
still the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from internvl_ops.errors import ConfigurationError, UnitError
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.fetch import Fetcher
from internvl_ops.preparer import joined_versions
from internvl_ops.stores.base import Settings
from pipelines.exports.answers import OutputView
from pipelines.exports.counts import LeftOut
from pipelines.exports.options import ExportOptions
from pipelines.exports.pages import PageRenderer
from pipelines.sources.options import MEDIA_SUFFIXES
from pipelines.wiring.media import pdf_password, policy_of

_ROWS_AT_ONCE = {"image": 64, "video": 4, "document": 4}  # rows whose media are in memory together
STRAY = 0.1  # of the sampled URIs may be unreadable without ending the export
_BEGINS = (
    (0, b"\xff\xd8\xff", "jpg"),
    (0, b"\x89PNG", "png"),
    (0, b"GIF8", "gif"),
    (8, b"WEBP", "webp"),
)


class MediaFetcher:
    """Fetches media. Picklable.

    Args:
        options: Options of the export.
        answers: The output.

    Raises:
        ConfigurationError: A header is not one.
    """

    def __init__(self, options: ExportOptions, answers: OutputView) -> None:
        self._rows = _ROWS_AT_ONCE[answers.media_kind]
        self.policy: ReadPolicy = policy_of(
            answers.base,
            options.allow,
            options.http_header,
            Settings(s3_anonymous=options.s3_anonymous),
        )
        self._fetcher = Fetcher(
            self.policy, max_bytes=options.max_bytes, timeout_s=options.fetch_timeout
        )
        self._max_bytes, self._timeout_s = options.max_bytes, options.fetch_timeout
        self.password = pdf_password(options.pdf_password)
        self._pages: PageRenderer | None = None  # started by the first page

    def fetched(
        self, rows: Sequence[dict[str, Any]], uris_of: Callable[[dict[str, Any]], list[str]]
    ) -> Iterator[tuple[dict[str, Any], list[bytes] | LeftOut]]:
        """Each row, in order, with its media, or with the reason for which it has none. Of a page
        of a document this is the page as JPEG.

        Args:
            rows: The rows.
            uris_of: Returns the media of a row; may raise `LeftOut`.
        """
        for start in range(0, len(rows), self._rows):
            chunk = [(row, _uris(row, uris_of)) for row in rows[start : start + self._rows]]
            wanted = list(
                dict.fromkeys(
                    uri
                    for row, uris in chunk
                    if isinstance(uris, list) and row.get("page") is None
                    for uri in uris
                )
            )
            found = dict(zip(wanted, self._fetcher.fetch_many(wanted), strict=True))
            for row, uris in chunk:
                if isinstance(uris, LeftOut):
                    yield row, uris
                elif row.get("page") is not None:
                    yield row, self._page(row, uris)
                else:
                    yield row, self._checked(row, uris, found)

    def close(self) -> None:
        """Ends the background thread and the renderer of pages."""
        self._fetcher.close()
        if self._pages is not None:
            self._pages.close()
            self._pages = None

    def check(
        self, rows: Sequence[dict[str, Any]], uris_of: Callable[[dict[str, Any]], list[str]]
    ) -> None:
        """Refuses an export whose media may not be read.

        Raises:
            ConfigurationError: With the options that would allow it.
        """
        found = [_uris(row, uris_of) for row in rows]
        uris = [uri for one in found if isinstance(one, list) for uri in one]
        refused = self.policy.explain(uris, tolerated=STRAY)
        if refused:
            raise ConfigurationError(refused)

    def _page(self, row: dict[str, Any], uris: list[str]) -> list[bytes] | LeftOut:
        if len(uris) != 1:
            return LeftOut("bad_row")
        if self._pages is None:
            self._pages = PageRenderer(
                self.policy,
                max_bytes=self._max_bytes,
                timeout_s=self._timeout_s,
                password=self.password,
            )
        page = self._pages.page(row, uris[0])
        return page if isinstance(page, LeftOut) else [page]

    def _checked(
        self, row: dict[str, Any], uris: list[str], found: dict[str, bytes | UnitError]
    ) -> list[bytes] | LeftOut:
        media = [found[uri] for uri in uris]
        for one in media:
            if isinstance(one, UnitError):
                return LeftOut(f"fetch_{one.kind}")
        asked, now = row.get("source_version"), joined_versions(map(self._fetcher.version, uris))
        if asked and now and asked != now:
            return LeftOut("changed")
        return [one for one in media if isinstance(one, bytes)]


def _uris(
    row: dict[str, Any], uris_of: Callable[[dict[str, Any]], list[str]]
) -> list[str] | LeftOut:
    try:
        return uris_of(row)
    except LeftOut as left_out:
        return left_out


def suffix_of(data: bytes, uri: str) -> str:
    """Suffix of a media file: what its bytes say, or else its address."""
    for offset, begin, suffix in _BEGINS:
        if data[offset : offset + len(begin)] == begin:
            return suffix
    suffix = uri.partition("?")[0].rpartition(".")[2].lower()
    return suffix if any(f".{suffix}" in known for known in MEDIA_SUFFIXES.values()) else "bin"
