"""Which option of a multiple-choice question an answer names, as each benchmark's own script reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# What Video-MME's script removes before it looks for a letter.
_LEAD_INS = ("The best answer is", "The correct answer is", "The answer is", "The answer", "The best option is",
             "The correct option is", "Best answer:", "Best option:", "Answer:", "Option:")  # fmt: skip


def mmbench_letter(response: str, options: Sequence[str]) -> str:
    """The option that an answer to MMBench names, as InternVL's evaluation reads it; the whole answer if it names none.

    A single sign is taken as it is; then the first sign if it is an option's letter; then the first option whose text
    stands in the answer.
    """
    response = response.strip()
    if len(response) <= 1:
        return response
    letters = LETTERS[: len(options)]
    if response[0] in letters:
        return response[0]
    return next((letter for letter, text in zip(letters, options, strict=True) if text and text in response), response)


def mvbench_hit(response: str, options: Sequence[str], answer: str) -> float:
    """1 if the first word of the answer is the right option, as InternVL's MVBench evaluation reads it.

    Options are ``(A) text``. The first word, without its full stops, has to stand in ``(a)``, or ``(a)`` in it. Unlike
    in the reference an empty answer, which stands in everything, is wrong.

    Raises:
        ValueError: The answer is none of the options.
    """
    right = f"({LETTERS[list(options).index(answer)].lower()})"
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
