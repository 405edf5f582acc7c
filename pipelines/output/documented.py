"""What `documents/` was made from, so that a night renews only the documents that are new or
changed.

It stands in ``_runs/.documents.json`` and is written last: if a run dies before, the next one does
the same documents again. Without it, or after files of results were removed, all documents are made
anew.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace

from pipelines.output.folder import RESULTS, RUNS, OutputFolder
from pipelines.output.side_files import content_of

DOCUMENTED = f"{RUNS}/.documents.json"


@dataclass(frozen=True)
class Documented:
    """What the documents of an output were made from.

    Args:
        form: Form of the documents; see the option ``--documents``.
        text: Column with the text of a page.
        files: Files of ``results/`` and ``errors/`` whose rows are in the documents.
        entries: Number of files in ``documents/``.
        stale: Documents of which rows were removed since, to run again.
        made: How they were made; see `documents.made_how`.
    """

    form: str
    text: str
    files: tuple[str, ...]
    entries: int
    stale: tuple[str, ...] = ()
    made: str = ""

    def continues(self, now: Documented) -> bool:
        """Whether the documents can be brought to ``now`` by making only those with new rows.

        Not if results were removed, or documents. Rows of errors leave the output only when their
        units have newer rows.
        """
        removed = {name for name in self.files if name.startswith(f"{RESULTS}/")} - set(now.files)
        same = (self.form, self.text, self.made) == (now.form, now.text, now.made)
        return same and self.entries <= now.entries and not removed


def read_documented(output: OutputFolder) -> Documented | None:
    """The index of an output; None if there is none that can be read."""
    try:
        values = json.loads(content_of(output, DOCUMENTED) or b"null")
        return Documented(**(values | {name: tuple(values[name]) for name in ("files", "stale")}))
    except (ValueError, TypeError, KeyError):
        return None


def write_documented(output: OutputFolder, documented: Documented) -> None:
    """Replaces the index."""
    output.write_bytes(DOCUMENTED, json.dumps(asdict(documented)).encode())


def mark_stale(output: OutputFolder, parents: Iterable[str]) -> None:
    """Notes documents of which rows will be removed, before they are."""
    documented, names = read_documented(output), set(parents)
    if documented is not None and not names <= set(documented.stale):
        write_documented(
            output, replace(documented, stale=tuple(sorted(names.union(documented.stale))))
        )


def note_merge(output: OutputFolder, sources: Collection[str], target: str) -> None:
    """Notes that files were merged into ``target``, so that the documents need not be made again
    for that.

    If the documents lack some of the rows, those of all rows in ``target`` are made.
    """
    documented = read_documented(output)
    if documented is None or not set(sources) & set(documented.files):
        return
    gone = set(sources)
    if not gone | {target} <= set(documented.files):
        gone.add(target)
    left = tuple(name for name in documented.files if name not in gone)
    write_documented(output, replace(documented, files=left))
