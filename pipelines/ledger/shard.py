"""Parts of a job that run apart: which rows of the manifest are a part's own.

The part of a row is a function of its id, written down here so that other programs can compute it:
the first 8 bytes of BLAKE2b (digest of 16 bytes) of the id in UTF-8, as a little-endian number,
modulo the number of parts. The endings ``#page=N`` and ``#clip=N`` are left out, so the units of a
file are in the part of the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from internvl_ops.errors import ConfigurationError
from pipelines.ledger.finished import unit_keys

MAX_SHARDS = 100_000
_WRITTEN = re.compile(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*")
_ENDINGS = r"(#(page|clip)=[0-9]+)+$"


@dataclass(frozen=True)
class Shard:
    """One part of a job.

    Args:
        part: Its number, from 1.
        of: Number of parts.
    """

    part: int
    of: int

    def __str__(self) -> str:
        return f"{self.part}/{self.of}"

    def own(self, ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
        """Which of these ids, of rows or of units, are this part's own: bool of shape (n,)."""
        files = pc.replace_substring_regex(ids.cast(pa.large_string()), _ENDINGS, "")
        return hashes(files) % self.of == self.part - 1


def hashes(ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The first 8 bytes of each id's digest, as uint64 of shape (n,)."""
    return np.frombuffer(unit_keys(ids), "<u8").reshape(-1, 2)[:, 0]


def parse_shard(text: str | None) -> Shard | None:
    """Reads ``I/N``; None if there is no text.

    Raises:
        ConfigurationError: It is not of that form, N is not 1 to `MAX_SHARDS`, or I is not 1 to N.
    """
    if text is None:
        return None
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise ConfigurationError(
            f"--shard {text!r:.80}: write the number of the part and of all parts, such as 3/16."
        )
    shard = Shard(int(match[1]), int(match[2]))
    if not 1 <= shard.of <= MAX_SHARDS:
        raise ConfigurationError(
            f"--shard {text}: a job has 1 to {MAX_SHARDS:,} parts, such as 3/16."
        )
    if not 1 <= shard.part <= shard.of:
        raise ConfigurationError(
            f"--shard {text}: there is no such part; the parts are 1/{shard.of} to"
            f" {shard.of}/{shard.of}."
        )
    return shard


@dataclass(frozen=True)
class RowSum:
    """A number of rows and the sum of the hashes of their ids, which does not depend on their
    order.

    Two readings of a manifest have the same sum if they read the same rows, but for a chance of 1 :
    2^64.
    """

    rows: int = 0
    hashes: int = 0

    @classmethod
    def of(cls, found: np.ndarray) -> RowSum:
        """The sum of rows with these hashes."""
        return cls(len(found), int(found.sum(dtype=np.uint64)))

    def __add__(self, other: RowSum) -> RowSum:
        return RowSum(self.rows + other.rows, (self.hashes + other.hashes) % (1 << 64))
