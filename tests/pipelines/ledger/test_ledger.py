"""The ledger's promise: every unit is counted once, and one that was read and never written is
named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.ledger.finished import unit_key
from pipelines.ledger.ledger import RUN, SKIP, Ledger, State


@pytest.fixture
def ledger():
    return Ledger()


def test_first_of_repeated_ids_runs_and_the_others_are_numbered(ledger):
    assert ledger.claim(["a", "b", "a", "a"], [0, 1, 2, 3]) == [RUN, RUN, 2, 3]


def test_rows_read_again_get_the_same_answers(ledger):
    first = ledger.claim(["a", "b", "a"], [0, 1, 2])
    assert ledger.claim(["a", "b", "a"], [0, 1, 2]) == first
    assert ledger.counts().units == 3


def test_units_of_earlier_runs_are_skipped_and_counted(ledger):
    ledger.preload(unit_key("done"), State.DONE_BEFORE)
    ledger.preload(unit_key("failed") + unit_key("done"), State.FAILED_BEFORE)
    assert ledger.claim(["done", "new", "failed"], [0, 1, 2]) == [SKIP, RUN, SKIP]
    counts = ledger.counts()
    assert (counts.units, counts.already_done, counts.already_failed) == (3, 1, 1)


def test_units_of_earlier_runs_that_left_the_manifest_do_not_count(ledger):
    ledger.preload(unit_key("gone"), State.DONE_BEFORE)
    ledger.claim(["new"], [0])
    assert ledger.counts().units == 1


def test_the_error_of_a_repeated_id_is_remembered_apart_from_the_id(ledger):
    ledger.preload(unit_key("a", 2), State.FAILED_BEFORE)
    assert ledger.claim(["a", "a", "a"], [0, 1, 2]) == [RUN, SKIP, 3]


def test_a_unit_claimed_and_never_written_is_lost_and_named(ledger):
    ledger.claim(["a", "b"], [7, 9])
    ledger.written([unit_key("a")], State.RESULT)
    assert ledger.counts().lost == 1
    assert ledger.lost() == [9]


def test_a_row_that_arrives_twice_is_pending_once(ledger):
    ledger.claim(["a"], [0])
    assert ledger.pending([unit_key("a")]) == [True]
    ledger.written([unit_key("a")], State.RESULT)
    assert ledger.pending([unit_key("a")]) == [False]


@given(
    ids=st.lists(st.sampled_from("abcdef"), max_size=40),
    done=st.sets(st.sampled_from("abcdef")),
    failing=st.sets(st.sampled_from("abcdef")),
)
def test_what_comes_in_goes_out(ids, done, failing):
    ledger = Ledger()
    ledger.preload(b"".join(map(unit_key, done)), State.DONE_BEFORE)
    answers = ledger.claim(ids, list(range(len(ids))))
    for unit_id, answer in zip(ids, answers, strict=True):
        if answer != SKIP:
            failed = answer > RUN or unit_id in failing
            ledger.written([unit_key(unit_id, answer)], State.ERROR if failed else State.RESULT)
    counts = ledger.counts()
    assert counts.lost == 0
    assert counts.units == len(ids)
    assert counts.results == len(set(ids) - done - failing)
    assert counts.already_done == len(set(ids) & done)
