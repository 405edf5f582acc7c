"""Merging files of an output: when the rows of several files count in one, and no longer in the
others.

A note in ``_runs/`` names the target and the sources before anything is changed. The target is one
of the merged files, and is replaced as a whole by the rows of all. From that moment it carries the
id of the note in its metadata, and the sources do not count, until they are removed and the note
after them. So at every moment each row counts once.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

MERGE = "_runs/.merge.json"
MERGED = b"merge"  # in the metadata of a target: the id of its last merge


@dataclass(frozen=True)
class Merge:
    """A merge that was begun.

    Args:
        id: Identifies it.
        target: The file that gets the rows of all, relative to the output; the newest of them.
        sources: The others.
    """

    id: str
    target: str
    sources: tuple[str, ...]

    def text(self) -> bytes:
        """As in the note."""
        return json.dumps(asdict(self)).encode()


def parse_merge(text: bytes) -> Merge | None:
    """The merge in the text of a note; None if it is none."""
    try:
        value = json.loads(text)
        return Merge(str(value["id"]), str(value["target"]), tuple(map(str, value["sources"])))
    except (ValueError, TypeError, KeyError):
        return None
