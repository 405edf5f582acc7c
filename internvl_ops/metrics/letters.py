"""Which option of a multiple-choice question an answer names, as each benchmark's own script reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SIGNS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_REFUSALS = ("Sorry, I can't help with images of people yet.", "I can't process this file.",
             "I'm sorry, but without the image provided", "Cannot determine the answer")  # fmt: skip
# What Video-MME's script removes before it looks for a letter.
_LEAD_INS = ("The best answer is", "The correct answer is", "The answer is", "The answer", "The best option is",
             "The correct option is", "Best answer:", "Best option:", "Answer:", "Option:")  # fmt: skip


_LETTER_IN_FRONT = re.compile(r"^\s*[A-Z]\.")


def mmbench_letter(response: str, options: Sequence[str]) -> str:
    """The option that an answer to MMBench names, as VLMEvalKit and MMBench's server read it without a judge; the whole
    answer if it names none.

    The only option's letter that stands as a word of its own, signs around it aside; an article ``A`` is a letter too.
    Where no letter does, or more than one, the only option whose text stands in the answer, without case. An answer
    that refuses names none.

    InternVL's script takes the first sign before it hands answers to that server, so that ``Both A and C`` is B there.
    """
    response = response.strip()
    if any(refusal in response for refusal in _REFUSALS):
        return response
    words = response.translate(_SIGNS).split()
    letters = LETTERS[: len(options)]
    named = [letter for letter in letters if letter in words]
    if len(named) == 1:
        return named[0]
    if not named and "Z" in words:  # how an answer says that it takes none
        return response
    lower = response.lower()
    told = [letter for letter, text in zip(letters, options, strict=True) if text and text.lower() in lower]
    return told[0] if len(told) == 1 else response


def mvbench_hit(response: str, options: Sequence[str], answer: str) -> float:
    """1 if the first word of the answer is the right option, as InternVL's MVBench evaluation reads it.

    Options are ``(A) text``. The first word, without its full stops, has to stand in ``(a)``, or ``(a)`` in it. Unlike
    in the reference an empty answer, which stands in everything, is wrong. Of equal options the last is right.

    Raises:
        ValueError: The answer is none of the options.
    """
    last = len(options) - 1 - list(options)[::-1].index(answer)
    right = f"({LETTERS[last].lower()})"
    given = response.replace("Answer: ", "").lower().split(" ")[0]
    plain = given.replace(".", "")
    return float(bool(plain) and (plain in right or right in given))


def video_mme_letter(response: str) -> str:
    """The letter that an answer to Video-MME names, as its script reads it: the first of A to D; empty if none."""
    response = response.strip()
    for words in _LEAD_INS:
        response = response.replace(words, "")
    found = re.search("[ABCD]", response)
    return found[0] if found else ""


def video_mme_option(response: str, options: Sequence[str]) -> str:
    """The letter that an answer to Video-MME names; where it has none, that of the only option whose text stands in it,
    as VLMEvalKit has read it since InternVL2 was published; empty if there is no such option.

    Args:
        response: The answer.
        options: ``A. text``, in order.
    """
    if letter := video_mme_letter(response):
        return letter
    texts = [_LETTER_IN_FRONT.sub("", option).strip(". \n") for option in options]
    found = mmbench_letter(response, texts)
    return found if found in LETTERS[: len(texts)] else ""
