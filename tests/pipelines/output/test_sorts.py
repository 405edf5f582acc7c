"""Which messages count as one sort, and that counting them takes bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.output.sorts import SORTS_KEPT, Sorts, sort_of

ALIKE = [
    ("5 of 30 frames cannot be decoded", "12 of 1,024 frames cannot be decoded"),
    ("decoding took longer than 60 s", "decoding took longer than 0.5 s"),
    ("1 sample left out", "3 samples left out"),
    ("damaged frames: 3", "damaged frames: 3, 7-9, 12"),
    ("tiles of shape (3, 448, 448)", "tiles of shape (13, 3, 448, 448)"),
    ("scaled from -3.4e+38..1", "scaled from 0..255"),
    ("above the limit of 5MB.", "above the limit of 268,435,456MB."),
    ("https://a.org/x?y=1: HTTP 404, not found", "http://127.0.0.1:80/b: HTTP 404, not found"),
    ("s3://bucket/a.jpg: no such object", "s3://other/é/ü: no such object"),
    ("cannot connect to a.example.com:443", "cannot connect to localhost.local:80"),
    ("column 'score' is 0.5", 'column "it\'s" is 7'),
    ("the answer is no JSON: '{\"a\": [1,'", "the answer is no JSON: '[]'"),
    ("vLLM refused: 'Once upon a…", "vLLM refused: 'There\\'s a…"),
    ("begins with bytes 50 4b 03 04", "begins with bytes ff d8"),
    (
        "id 0190163d-8694-739b-aea5-966c26f8ad90 at m.jsonl:3",
        "id 4f0c9e8d7a6b at part-7.csv.gz:1,234",
    ),
    ("/data/a.tiff: 7 bands", "b.tif: 3 bands"),
]
APART = [
    ("a.svg: an SVG", "a.svg: an Office document"),
    ("http://a/b: HTTP 403, refused", "http://a/b: HTTP 404, refused"),
    (
        "a.jpg: TypeError: no, in media/image.py line 7",
        "a.jpg: TypeError: no, in media/image.py line 70",
    ),
    ("a float16 TIFF", "a float64 TIFF"),
    ("json.JSONDecodeError", "torch.OutOfMemoryError"),
    ("an mp3 file", "an mp4 file"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_numbers_names_and_addresses_make_no_sort(one: str, other: str) -> None:
    assert sort_of(one) == sort_of(other)


@pytest.mark.parametrize(("one", "other"), APART)
def test_words_make_a_sort(one: str, other: str) -> None:
    assert sort_of(one) != sort_of(other)


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_whatever_a_file_is_called_its_name_in_front_makes_no_sort(one: str, other: str) -> None:
    said = "not an image this job reads"
    assert sort_of(f"{one}: {said}", [one]) == sort_of(f"{other}: {said}", [other])


def test_a_name_that_is_a_word_of_the_sentence_is_left_there() -> None:
    assert sort_of("image: not an image", ["image"]) == sort_of("b: not an image", ["b"])


@given(st.text(max_size=2_000))
def test_any_text_has_a_sort_of_bounded_length(message: str) -> None:
    assert len(sort_of(message, [message[:5]])) <= 300
    assert sort_of(message) == sort_of(message)


@given(st.lists(st.sampled_from("abcdefghij"), max_size=200), st.integers(1, 12))
def test_no_unit_is_lost_to_the_bound(messages: list[str], kept: int) -> None:
    sorts = Sorts(kept)
    for message in messages:
        sorts.add_unit([message])
    assert len(sorts) <= kept
    assert sum(sort.units for sort in sorts.most_common()) + sorts.others == len(messages)
    assert sum(entry["units"] for entry in sorts.as_list()) == len(messages)


def test_what_comes_often_is_kept_among_thousands_that_come_once() -> None:
    sorts = Sorts()
    words = [a + b + c for a in "bcdfghjklm" for b in "aeiou" for c in "bcdfghjklmnpqrstvwxz"]
    for number, word in enumerate(words):
        sorts.add_unit([f"{word} is broken"])
        if number >= len(words) // 2 and number % 5 == 0:  # it starts when the table is long full
            sorts.add_unit(["the disk is full"])
    assert len(sorts) == SORTS_KEPT
    assert sorts.most_common(1)[0].example == "the disk is full"
    assert sorts.most_common(1)[0].units == len(words) // 10
    assert sorts.others == len(words) - SORTS_KEPT + 1


def test_a_unit_counts_once_for_each_sort_of_its_notes() -> None:
    sorts = Sorts()
    sorts.add_unit(["first frame of 3", "first frame of 12", "decoded at 1/2 size"])
    sorts.add_unit(["first frame of 5"])
    assert {sort.example.split()[0]: sort.units for sort in sorts.most_common()} == {
        "first": 2,
        "decoded": 1,
    }


def test_an_example_is_cut() -> None:
    sorts = Sorts()
    sorts.add_unit(["word " * 10_000])
    assert len(sorts.most_common(1)[0].example) < 600
