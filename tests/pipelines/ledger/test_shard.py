"""A unit belongs to one part of a job, whatever run asks, and the units of a file belong
together."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.errors import ConfigurationError
from pipelines.ledger.shard import RowSum, Shard, hashes, parse_shard

IDS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=1, max_size=20
)


@given(ids=IDS, of=st.integers(1, 40))
def test_every_row_is_in_one_part(ids: list[str], of: int) -> None:
    owners = [Shard(part, of).own(pa.array(ids)) for part in range(1, of + 1)]
    assert [sum(own[row] for own in owners) for row in range(len(ids))] == [1] * len(ids)


@given(parent=st.text("ab#=/é", max_size=6), of=st.integers(1, 40), number=st.integers(1, 10**6))
def test_the_units_of_a_file_are_in_its_part(parent: str, of: int, number: int) -> None:
    ids = [
        parent,
        f"{parent}#page={number}",
        f"{parent}#clip={number}",
        f"{parent}#page=2#page={number}",
    ]
    for part in range(1, of + 1):
        assert len(set(Shard(part, of).own(pa.array(ids)).tolist())) == 1


def test_the_part_is_the_one_that_the_documentation_says() -> None:
    of = 1000
    for unit_id in ("a", "images/ü.jpg", ""):
        digest = hashlib.blake2b(unit_id.encode(), digest_size=16).digest()
        part = 1 + int.from_bytes(digest[:8], "little") % of
        assert Shard(part, of).own(pa.array([unit_id])).tolist() == [True]


@given(ids=IDS, cut=st.integers(0, 20))
def test_a_sum_does_not_depend_on_order_or_cuts(ids: list[str], cut: int) -> None:
    def total(some: list[str]) -> RowSum:
        return RowSum.of(hashes(pa.array(some, pa.string())))

    assert total(ids[:cut]) + total(ids[cut:]) == total(sorted(ids))
    assert total([*ids, "one more"]) != total(ids)


@pytest.mark.parametrize(
    ("text", "shard"), [("3/16", Shard(3, 16)), (" 1 / 1 ", Shard(1, 1)), (None, None)]
)
def test_what_a_part_is_called(text: str | None, shard: Shard | None) -> None:
    assert parse_shard(text) == shard


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3/2", "there is no such part; the parts are 1/2 to 2/2"),
        ("0/4", "the parts are 1/4 to 4/4"),
        ("1/0", "a job has 1 to 100,000 parts, such as 3/16"),
        ("3", "write the number of the part and of all parts, such as 3/16"),
        ("a/b", "such as 3/16"),
        ("-1/2", "such as 3/16"),
    ],
)
def test_what_is_no_part(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        parse_shard(text)
