"""A file whose units are all done is skipped as a whole; the outcome is that of listing it
again."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.ledger.finished import PartsOfFiles, unit_key
from pipelines.ledger.ledger import RUN, SKIP, Counts, Ledger, State

SIZES = {"a": 1, "b": 2, "c": 3, "d": 4}
# file, page, state, and whether its row tells the size of the file
Row = tuple[str, int, State, bool]

rows_before = st.lists(
    st.builds(
        lambda name, page, state, tells: (name, 1 + page % SIZES[name], state, tells),
        st.sampled_from("abcd"),
        st.integers(0, 3),
        st.sampled_from([State.DONE_BEFORE, State.FAILED_BEFORE]),
        st.booleans(),
    ),
    max_size=14,
)


def page_id(name: str, page: int) -> str:
    return f"{name}#page={page}"


def night(
    before: list[Row], manifest: list[str], *, known: bool
) -> tuple[list[str], list[int], Counts]:
    """The pages that run, the answers to repeated rows, and the counts.

    Args:
        before: Rows of earlier nights.
        manifest: Files of tonight.
        known: Whether the ledger learns which files the rows are parts of.
    """
    ledger = Ledger()
    for name, page, state, tells in before:
        files = PartsOfFiles(unit_key(name), np.array([SIZES[name] if tells else 0], np.int32))
        ledger.preload(unit_key(page_id(name, page)), state, files if known else None)
    ran, repeated = [], []
    for position, name in enumerate(manifest):
        (answer,) = ledger.claim([name], [position])
        if answer > RUN:
            repeated.append(answer)
            ledger.written([unit_key(name, answer)], State.ERROR)
        if answer != RUN:
            continue
        pages = [page_id(name, page) for page in range(1, SIZES[name] + 1)]
        answers = ledger.explode(unit_key(name), pages, position)
        ran += [page for page, one in zip(pages, answers, strict=True) if one == RUN]
        assert ledger.explode(unit_key(name), pages, position) == answers
    ledger.written([unit_key(page) for page in ran], State.RESULT)
    return ran, repeated, ledger.counts()


@given(before=rows_before, manifest=st.lists(st.sampled_from("abcd"), max_size=6))
def test_it_comes_to_the_same_as_listing_every_file_again(
    before: list[Row], manifest: list[str]
) -> None:
    assert night(before, manifest, known=True) == night(before, manifest, known=False)


def pages_done(ledger: Ledger, name: str, pages: list[int], total: int) -> None:
    keys = b"".join(unit_key(page_id(name, page)) for page in pages)
    files = PartsOfFiles(unit_key(name) * len(pages), np.full(len(pages), total, np.int32))
    ledger.preload(keys, State.DONE_BEFORE, files)


def test_a_file_is_whole_with_its_last_page() -> None:
    for pages, answer in (([1, 2], RUN), ([1, 2, 3], SKIP)):
        ledger = Ledger()
        pages_done(ledger, "c", pages, 3)
        assert ledger.claim(["c"], [0]) == [answer]
        assert ledger.tally().skipped == (3 if answer == SKIP else 0)


def test_a_row_read_again_gets_the_same_answer_and_counts_once() -> None:
    ledger = Ledger()
    pages_done(ledger, "c", [1, 2, 3], 3)
    assert [ledger.claim(["c"], [7]) for _ in range(2)] == [[SKIP], [SKIP]]
    assert ledger.counts().already_done == ledger.counts().units == 3


def test_a_page_that_is_there_twice_does_not_stand_for_another() -> None:
    ledger = Ledger()
    pages_done(ledger, "c", [1, 2, 2], 3)
    assert ledger.claim(["c"], [0]) == [RUN]


def test_rows_that_disagree_about_the_size_of_their_file_prove_nothing() -> None:
    ledger = Ledger()
    pages_done(ledger, "c", [1], 2)
    pages_done(ledger, "c", [2], 3)
    assert ledger.claim(["c"], [0]) == [RUN]


def test_an_old_error_of_a_whole_file_is_superseded_by_its_pages() -> None:
    ledger = Ledger()
    pages_done(ledger, "c", [1, 2, 3], 3)
    assert ledger.states([unit_key("c"), unit_key("d")]) == [State.EXPLODED, None]
