"""Names of lease files: ``00000007.json``, or ``3-of-16.00000007.json`` for a part of a job."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipelines.ledger.shard import Shard

_NAME = re.compile(r"(?:(?P<part>\d+)-of-(?P<of>\d+)\.)?(?P<number>\d+)\.json")


def lease_name(shard: Shard | None, number: int) -> str:
    """The name of a lease, without its folder."""
    whose = "" if shard is None else f"{shard.part}-of-{shard.of}."
    return f"{whose}{number:08d}.json"


def parse_lease_name(name: str) -> tuple[Shard | None, int] | None:
    """The part of the job and the number of a lease; None if the file is none."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    shard = Shard(int(match["part"]), int(match["of"])) if match["of"] else None
    return shard, int(match["number"])


def newest_leases(names: Iterable[str]) -> dict[Shard | None, int]:
    """The highest number of each part's leases; None is the whole job."""
    newest: dict[Shard | None, int] = {}
    for found in map(parse_lease_name, names):
        if found is not None:
            newest[found[0]] = max(found[1], newest.get(found[0], 0))
    return newest
