"""Which split a row belongs to: by a hash of its id, or by a column."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from internvl_ops.errors import ConfigurationError

TRAIN = "train"  # where no split is asked for
_NAME = re.compile(r"\w+(\.\w+)*", re.ASCII)  # what `datasets` allows
_MOST = 100


def parse_ratios(text: str) -> tuple[tuple[str, float], ...]:
    """``train=0.9,val=0.1`` as names and shares.

    Raises:
        ValueError: It has another form, a name twice, or the shares add up to more than 1.
    """
    ratios: dict[str, float] = {}
    for item in text.split(","):
        name, _, share = item.partition("=")
        name = name.strip()
        if not _NAME.fullmatch(name) or name in ratios:
            raise ValueError(
                "needs names of letters, digits and _, each once, as in train=0.9,val=0.1, not"
                f" {item!r}"
            )
        try:
            ratios[name] = float(share)
        except ValueError:
            raise ValueError(
                f"needs a number after each name, as in train=0.9,val=0.1, not {item!r}"
            ) from None
        if not 0 < ratios[name] <= 1:
            raise ValueError(f"needs shares above 0 and at most 1, not {share}")
    if sum(ratios.values()) > 1 + 1e-9:
        raise ValueError(f"must add up to at most 1; {text} adds up to {sum(ratios.values()):g}")
    return tuple(ratios.items())


@dataclass(frozen=True)
class Splitter:
    """Assigns rows to splits.

    Args:
        ratios: Names and shares; empty for a single split.
        column: Column with the name of the split instead.
    """

    ratios: tuple[tuple[str, float], ...] = ()
    column: str | None = None

    @property
    def asked(self) -> bool:
        """Whether there is more than the default split."""
        return bool(self.ratios) or self.column is not None

    @property
    def needs(self) -> list[str]:
        """Columns that it looks at."""
        return [self.column] if self.column else ["id", "parent"]

    def splits_of(self, rows: pa.Table) -> list[str | None]:
        """The split of each row; None for a row that is in none.

        Raises:
            ConfigurationError: A value of the column cannot be the name of a split, or there are
                too many.
        """
        if self.column is not None:
            return self._by_column(rows[self.column])
        if not self.ratios:
            return [TRAIN] * len(rows)
        owners: Sequence[str] = rows["id"].to_pylist()
        # pages of one document, and clips of one video, stay together
        if "parent" in rows.column_names:
            parents = rows["parent"].to_pylist()
            owners = [parent or own for parent, own in zip(parents, owners, strict=True)]
        return [self._by_hash(owner) for owner in owners]

    def _by_hash(self, owner: str) -> str | None:
        place = (
            int.from_bytes(hashlib.blake2b(owner.encode(), digest_size=8).digest(), "big") / 2**64
        )
        end = 0.0
        for name, share in self.ratios:
            end += share
            if place < end:
                return name
        # 0.7 + 0.2 + 0.1 is a little below 1 in floats; a sum of 1 leaves nothing out.
        return self.ratios[-1][0] if end > 1 - 1e-9 else None

    def _by_column(self, values: pa.ChunkedArray) -> list[str | None]:
        names = [None if value is None else str(value) for value in values.to_pylist()]
        found = {name for name in names if name is not None}
        for name in sorted(found):
            if not _NAME.fullmatch(name):
                raise ConfigurationError(
                    f"--split-column {self.column}: {name!r:.80} cannot be the name of a split;"
                    " names are of letters, digits and _. Leave such rows out by --where, or make"
                    " the column's values such names."
                )
        if len(found) > _MOST:
            raise ConfigurationError(
                f"--split-column {self.column}: more than {_MOST} different values. Name a column"
                " with few."
            )
        return names
