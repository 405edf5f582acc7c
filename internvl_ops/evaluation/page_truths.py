"""Benchmarks about whole pages: what is true of each page stands in files beside the folder of the
pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PageTruth:
    """Something that is true of a page; a sample of the benchmark.

    Args:
        id: Unique in the benchmark.
        file: File of the page, below the folder of the pages.
        page: Number of the page in its document, from 1; None for a picture.
        split: The part of the benchmark that it belongs to.
        category: Scores are also given by category.
        truth: JSON text, as the benchmark's score reads it.
    """

    id: str
    file: str
    page: int | None
    split: str
    category: str
    truth: str

    @property
    def unit(self) -> str:
        """The id of the page among the results of a job."""
        return self.file if self.page is None else f"{self.file}#page={self.page}"


@dataclass(frozen=True)
class PageRule:
    """Where the pages of a benchmark lie, and what is true of them.

    Args:
        folder: Folder of the pages, below the input.
        suffix: Suffix of the files of truths, which lie in the input itself.
        read: Makes the truths of the contents of these files, by name, and the files of pages that
            there are, as their names below ``folder``. Raises ``ValueError`` with a file's name and
            a line or number if something cannot be used.
    """

    folder: str
    suffix: str
    read: Callable[[Mapping[str, str], Sequence[str]], list[PageTruth]]
