"""Scores of captions, computed by hand."""

from __future__ import annotations

import math

import pytest

from internvl_ops.metrics import bleu, cider, rouge_l, tokens


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


class TestBleu:
    def test_of_the_reference_itself_is_one(self) -> None:
        caption = tokens("a red circle and a star")
        assert bleu([caption], [[caption]]) == pytest.approx([1, 1, 1, 1])

    def test_counts_clipped_n_grams_over_the_whole_set(self) -> None:
        responses = [tokens("the the cat"), tokens("a dog runs")]
        references = [[tokens("the cat sat")], [tokens("a dog sits"), tokens("a dog walks")]]

        # 1-grams: the (once) and cat of 3, a and dog of 3: 4/6. 2-grams: the cat of 2, a dog of 2: 2/4. No brevity.
        expected = [4 / 6, math.sqrt(4 / 6 * 2 / 4)]
        assert bleu(responses, references)[:2] == pytest.approx(expected)
        # No 3-gram is right: the product of three with next to nothing.
        assert bleu(responses, references)[2] == pytest.approx(0, abs=1e-4)

    def test_a_short_answer_pays_by_the_nearest_reference(self) -> None:
        responses, references = [tokens("a cat")], [[tokens("a cat sat"), tokens("a cat sat on the mat")]]

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

        # "a" stands in both images: ln(2/2) = 0. First: 1-grams (cat) and 2-grams (a cat) agree, 3 and 4 do not exist:
        # (1 + 1 + 0 + 0) / 4 x 10. Second: dog is no fox.
        assert cider(responses, references) == pytest.approx([5, 0])

    def test_clips_repetition_and_minds_the_length(self) -> None:
        responses = [tokens("cat cat cat"), tokens("dog")]
        references = [[tokens("cat")], [tokens("dog")]]

        # cat: 3 ln 2, clipped to ln 2: (ln2 x ln2) / (3 ln2 x ln2) = 1/3. The answer has 2 bigrams more than the
        # reference: exp(-4/72). 2-grams are in no reference. (1/3) / 4 x 10 x exp(-1/18).
        assert cider(responses, references) == pytest.approx([10 / 12 * math.exp(-1 / 18), 2.5])

    def test_is_the_mean_over_references(self) -> None:
        responses = [tokens("cat"), tokens("dog")]
        references = [[tokens("cat"), tokens("cow")], [tokens("dog")]]
        # 1/4 with the first of two references, 0 with the second.
        assert cider(responses, references) == pytest.approx([1.25, 2.5])

    def test_one_image_teaches_nothing_of_rarity(self) -> None:
        assert cider([tokens("a cat")], [[tokens("a cat")]]) == [0]
        assert cider([[], tokens("a")], [[tokens("b")], [tokens("a")]]) == [0, 2.5]
