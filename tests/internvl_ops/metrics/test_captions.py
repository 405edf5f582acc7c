"""Scores of captions, computed by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.metrics import bleu, cider, rouge_l, tokens
from internvl_ops.metrics.caption_tokens import DROPPED

# What pycocoevalcap 1.2 makes of these captions with its own Java tokenizer, PTBTokenizer of
# Stanford CoreNLP 3.4.1. A blank that is part of a word is U+00A0, as the tokenizer writes it.
TOKENISED = [
    (
        "We cannot go, you're gonna wanna stay; 'tis late, 'twas fun",
        "we can not go you 're gon na wan na stay 't is late 't was fun",
    ),
    (
        "I can't, won't, isn't; they've, he'd, it'll, let's, I'm",
        "i ca n't wo n't is n't they 've he 'd it 'll let 's i 'm",
    ),
    (
        "1,000 people at 10:30, 12:30pm, 3.14 or .5 miles",
        "1,000 people at 10:30 12:30 pm 3.14 or .5 miles",
    ),
    ("5% off $5, £3, €2 and 5¢ & #1 @ home", "5 % off $ 5 # 3 $ 2 and 5 cents & # 1 @ home"),
    ("½ cup, ¾ mile, 3½ miles, 5 1/2 feet", "1/2 cup 3/4 mile 3 1/2 miles 5\xa01/2 feet"),
    (
        "1/2, 24/7, 20-30, 7-Eleven, 3/4-inch, 1,000-year-old, 2x4, 10th",
        "1/2 24/7 20-30 7-eleven 3/4-inch 1,000-year-old 2x4 10th",
    ),
    (
        "Mr. Smith and Dr. Lee at Main St. vs. Co. Inc., Jr. etc.",
        "mr. smith and dr. lee at main st. vs. co. inc. jr. etc.",
    ),
    (
        "the U.S. flag at 5 p.m. in D.C., e.g. J.K. Rowling, Ph.D.",
        "the u.s. flag at 5 p.m. in d.c. e.g. j.k. rowling ph.d.",
    ),
    ("the U.S.-based U.K.'s plan B. A dog.", "the u.s.-based u.k. 's plan b a dog"),
    ("no. 5 bus, fig. 3, but he said no. He is in.", "no. 5 bus fig. 3 but he said no he is in"),
    (
        '(left) [right] {mid} a "quoted" word, “curly” ‘curly’ «fr»',
        "-lrb- left -rrb- -lsb- right -rsb- -lcb- mid -rcb- a quoted word curly curly fr",
    ),
    (
        "rock 'n' roll, fish'n'chips, mac 'n cheese, '90s, 1990's, dogs' toys",
        "rock 'n' roll fish 'n' chips mac 'n cheese '90s 1990 's dogs toys",
    ),
    (
        "o'clock ma'am O'Neill d'Angelo l'eau c'mon 'em goin' y'all",
        "o'clock ma'am o'neill d'angelo l'eau c'mon 'em goin y' all",
    ),
    ("T-shirt's two-year-old mid-air x- - y -- z — w", "t-shirt 's two-year-old mid-air x y z w"),
    ("AT&T R&B a&b b & w C++ C# w/o man/woman", "at&t r&b a & b b & w c++ c# w/o man/woman"),
    ("what?! really?? wow! no... yes… end.", "what ?! really ?? wow no yes end"),
    (
        "a cat;bird:fish,dog in. 10 ft. 6 in. tall 5'4 6'2\"",
        "a cat bird fish dog in 10 ft. 6 in tall 5 4 6 2",
    ),
    ("foo_bar café Zürich 日本語 50° * + = / ~", "foo_bar café zürich 日本語 50 ° * + = / ~"),
    (
        "me@x.com http://www.x.com, x.com #tag @user :) <3 &amp; <b>",
        "me@x.com http://www.x.com x.com #tag @user :-rrb- < 3 & <b>",
    ),
    (
        "Sat. and Jan. 5, est. 1990, tel. 5, wash. Wash. sq. ft.",
        "sat and jan. 5 est. 1990 tel. 5 wash wash. sq. ft.",
    ),
]


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A red circle, and a blue star.", ["a", "red", "circle", "and", "a", "blue", "star"]),
        ("It isn't the man's T-shirt!", ["it", "is", "n't", "the", "man", "'s", "t-shirt"]),
        ("  ", []),
    ],
)
def test_tokens(caption: str, words: list[str]) -> None:
    assert tokens(caption) == words


@pytest.mark.parametrize(("caption", "words"), TOKENISED)
def test_tokens_are_those_of_the_java_tokenizer(caption: str, words: str) -> None:
    assert tokens(caption) == words.split(" ")


@given(
    st.text()
    | st.lists(
        st.sampled_from(
            ["a", "n't", "'s", "U.S.", "1,000", "½", "(", "'", ".", "-", "&", "<b", "\xa0", "…"]
        )
    ).map("".join)
)
def test_any_text_has_words_in_lower_case_without_punctuation(caption: str) -> None:
    words = tokens(caption)

    assert not DROPPED.intersection(words)
    assert words == [word.lower() for word in words]
    assert all(words)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["a", "a.", "a-", "n't", "1,", "<a ", "&", "'", "a@", "http://", "a/", "1 ", "www."]
)
def test_a_caption_of_one_piece_takes_no_time_that_hurts(piece: str) -> None:
    tokens(piece * (20_000 // len(piece)))


class TestBleu:
    def test_of_the_reference_itself_is_one(self) -> None:
        caption = tokens("a red circle and a star")
        assert bleu([caption], [[caption]]) == pytest.approx([1, 1, 1, 1])

    def test_counts_clipped_n_grams_over_the_whole_set(self) -> None:
        responses = [tokens("the the cat"), tokens("a dog runs")]
        references = [[tokens("the cat sat")], [tokens("a dog sits"), tokens("a dog walks")]]

        # 1-grams: the (once) and cat of 3, a and dog of 3: 4/6. 2-grams: the cat of 2, a dog of 2:
        # 2/4. No brevity.
        expected = [4 / 6, math.sqrt(4 / 6 * 2 / 4)]
        assert bleu(responses, references)[:2] == pytest.approx(expected)
        # No 3-gram is right: the product of three with next to nothing.
        assert bleu(responses, references)[2] == pytest.approx(0, abs=1e-4)

    def test_a_short_answer_pays_by_the_nearest_reference(self) -> None:
        responses, references = (
            [tokens("a cat")],
            [[tokens("a cat sat"), tokens("a cat sat on the mat")]],
        )

        # Everything is right; 2 words against the nearest of 3 and 6: exp(1 - 3/2).
        assert bleu(responses, references)[0] == pytest.approx(math.exp(-0.5))

    def test_an_empty_answer_scores_nothing(self) -> None:
        assert bleu([[]], [[tokens("a cat")]]) == pytest.approx([0, 0, 0, 0], abs=1e-6)


class TestRouge:
    def test_weighs_recall(self) -> None:
        # a _ cat: 2 of 2 words of the answer, 2 of 4 of the reference: P 1, R 1/2.
        expected = (1 + 1.44) * 1 * 0.5 / (0.5 + 1.44 * 1)
        assert rouge_l(tokens("a cat"), [tokens("a big cat sat")]) == pytest.approx(expected)

    def test_takes_the_best_precision_and_the_best_recall(self) -> None:
        references = [tokens("a big cat sat"), tokens("cat")]
        # P 2/2 with the first, R 1/1 with the second.
        assert rouge_l(tokens("a cat"), references) == pytest.approx(1)

    def test_of_nothing_in_common_is_zero(self) -> None:
        assert rouge_l(tokens("dog"), [tokens("a cat")]) == 0
        assert rouge_l([], [tokens("a cat")]) == 0


class TestCider:
    def test_of_captions_that_are_their_references(self) -> None:
        captions = [tokens("a b c d"), tokens("e f g h")]
        # Each n-gram stands in one of two images: weight ln 2; cosine 1 for every n.
        assert cider(captions, [[caption] for caption in captions]) == pytest.approx([10, 10])

    def test_weighs_what_is_rare(self) -> None:
        responses = [tokens("a cat"), tokens("a dog")]
        references = [[tokens("a cat")], [tokens("a fox")]]

        # "a" stands in both images: ln(2/2) = 0. First: 1-grams (cat) and 2-grams (a cat) agree, 3
        # and 4 do not exist: (1 + 1 + 0 + 0) / 4 x 10. Second: dog is no fox.
        assert cider(responses, references) == pytest.approx([5, 0])

    def test_clips_repetition_and_minds_the_length(self) -> None:
        responses = [tokens("cat cat cat"), tokens("dog")]
        references = [[tokens("cat")], [tokens("dog")]]

        # cat: 3 ln 2, clipped to ln 2: (ln2 x ln2) / (3 ln2 x ln2) = 1/3. The answer has 2 bigrams
        # more than the reference: exp(-4/72). 2-grams are in no reference. (1/3) / 4 x 10 x
        # exp(-1/18).
        assert cider(responses, references) == pytest.approx([10 / 12 * math.exp(-1 / 18), 2.5])

    def test_is_the_mean_over_references(self) -> None:
        responses = [tokens("cat"), tokens("dog")]
        references = [[tokens("cat"), tokens("cow")], [tokens("dog")]]
        # 1/4 with the first of two references, 0 with the second.
        assert cider(responses, references) == pytest.approx([1.25, 2.5])

    def test_one_image_teaches_nothing_of_rarity(self) -> None:
        assert cider([tokens("a cat")], [[tokens("a cat")]]) == [0]
        assert cider([[], tokens("a")], [[tokens("b")], [tokens("a")]]) == [0, 2.5]
