"""Finds the option of a multiple-choice question that an answer names, like each benchmark's own
script."""

from __future__ import annotations

import re
from collections.abc import Sequence

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SIGNS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_REFUSALS = ("Sorry, I can't help with images of people yet.", "I can't process this file.",
             "I'm sorry, but without the image provided",
             "Cannot determine the answer")  # fmt: skip
# Video-MME's script removes these before it looks for a letter.
_LEAD_INS = ("The best answer is", "The correct answer is", "The answer is", "The answer",
             "The best option is", "The correct option is", "Best answer:", "Best option:",
             "Answer:", "Option:")  # fmt: skip


_LETTER_IN_FRONT = re.compile(r"^\s*[A-Z]\.")


def mmbench_letter(response: str, options: Sequence[str]) -> str:
    """The option that an answer to MMBench names, read like VLMEvalKit and MMBench's server without
    a judge; the whole answer if it names none.

    It is the option whose letter is a separate word, without punctuation, if there is only one such
    letter; an article ``A`` counts as a letter too. If no letter is, or more than one, it is the
    only option whose text occurs in the answer, ignoring case. A refusal names none.

    InternVL's script takes the first character before it sends answers to that server, so ``Both A
    and C`` is B there.
    """
    response = response.strip()
    if any(refusal in response for refusal in _REFUSALS):
        return response
    words = response.translate(_SIGNS).split()
    letters = LETTERS[: len(options)]
    named = [letter for letter in letters if letter in words]
    if len(named) == 1:
        return named[0]
    if not named and "Z" in words:  # an answer uses Z for "none of them"
        return response
    lower = response.lower()
    told = [
        letter
        for letter, text in zip(letters, options, strict=True)
        if text and text.lower() in lower
    ]
    return told[0] if len(told) == 1 else response


def internvl_letter(response: str, options: Sequence[str]) -> str:
    """The option that an answer names, read like InternVL's own scripts for ScienceQA and MMVP.

    It is the first character, if that is the letter of an option, else the first option whose text
    occurs in the answer. If there is neither, the whole answer is returned.

    An answer of one character is taken as it is. ``(B)`` names no option, unless an option's text
    occurs in it.
    """
    response = response.strip()
    letters = LETTERS[: len(options)]
    if len(response) <= 1 or response[0] in letters:
        return response[:1]
    told = (letter for letter, text in zip(letters, options, strict=True) if text in response)
    return next(told, response)


def mvbench_hit(response: str, options: Sequence[str], answer: str) -> float:
    """1 if the first word of the answer is the right option, as in InternVL's MVBench evaluation.

    Options are ``(A) text``. The first word, without its full stops, must occur in ``(a)``, or
    ``(a)`` in it. An empty answer occurs in everything; it is wrong here, unlike in the reference.
    Of equal options, the last one is right.

    Raises:
        ValueError: The right answer is not one of the options.
    """
    last = len(options) - 1 - list(options)[::-1].index(answer)
    right = f"({LETTERS[last].lower()})"
    given = response.replace("Answer: ", "").lower().split(" ")[0]
    plain = given.replace(".", "")
    return float(bool(plain) and (plain in right or right in given))


def video_mme_letter(response: str) -> str:
    """The letter that an answer to Video-MME names, read like its script: the first of A to D;
    empty if none."""
    response = response.strip()
    for words in _LEAD_INS:
        response = response.replace(words, "")
    found = re.search("[ABCD]", response)
    return found[0] if found else ""


def video_mme_option(response: str, options: Sequence[str]) -> str:
    """The letter that an answer to Video-MME names. If it has none, the letter of the only option
    whose text occurs in it, as VLMEvalKit has done since InternVL2 was published; empty if there is
    no such option.

    Args:
        response: The answer.
        options: ``A. text``, in order.
    """
    if letter := video_mme_letter(response):
        return letter
    texts = [_LETTER_IN_FRONT.sub("", option).strip(". \n") for option in options]
    found = mmbench_letter(response, texts)
    return found if found in LETTERS[: len(texts)] else ""
