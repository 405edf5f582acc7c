"""Reads rows of multiple-choice and yes-or-no benchmarks, in the forms in which they are published.
Each function raises ``ValueError`` if it cannot."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from internvl_ops.errors import keyword
from internvl_ops.evaluation.benchmark import BenchmarkRow
from internvl_ops.evaluation.readers import PANDAS_NA, Fields, given, text, texts
from internvl_ops.metrics.letters import LETTERS

LETTER = "Answer with the option's letter from the given choices directly."
SHORT = "Answer the question using a single word or phrase."
LETTER_COLUMNS = {letter: (letter,) for letter in LETTERS[:9]}
_SEED_VIDEO = 10  # first of the question types that are about videos
_MMVP_OPTIONS = re.compile(r"\(([a-d])\)")
_CHINESE = re.compile("[\u4e00-\u9fff]")


def read_ai2d(row: BenchmarkRow, split: str) -> Fields:
    """AI2D: InternVL's JSONL has the whole prompt as its question. Other forms have options in
    columns A to D, or as a list with the place of the right one as the answer."""
    options = _lettered(row) or _list(row, "choices")
    if not options:
        return {"question": text(row, "question"), "answers": texts(row, "answers"), "options": []}
    right = _letter(row, options)
    return {"question": f"{_asked(row, options)}\n{LETTER}", "answers": [right], "options": options}


def read_seed(row: BenchmarkRow, split: str) -> Fields:
    """SEED-Bench: InternVL's JSONL has the whole prompt in ``text``. Other forms have options in
    columns. Questions about videos belong to another figure."""
    kind = given(row, "kind")
    if given(row, "medium") == "video" or (kind.isdecimal() and int(kind) >= _SEED_VIDEO):
        raise ValueError(
            "a question about a video, and SEED-Image is about images; leave such rows out by "
            f"{keyword('where', 'question_type_id < 10')}"
        )
    right, options = text(row, "answers"), _lettered(row)
    if right not in tuple("ABCD"):
        raise ValueError(f"answer {right!r:.80}; a letter from A to D is needed")
    asked = f"{_asked(row, options)}\n{LETTER}" if options else text(row, "question")
    return {
        "question": asked,
        "answers": [right],
        "options": options,
        "category": given(row, "category") or kind,
    }


def read_ccbench(row: BenchmarkRow, split: str) -> Fields:
    """CCBench: a question and options in columns A to E."""
    options = _lettered(row)
    return {
        "question": _asked(row, options),
        "answers": [_letter(row, options)],
        "options": options,
        "category": given(row, "category"),
    }


def read_choices(row: BenchmarkRow, split: str) -> Fields:
    """A question with options in columns, as VLMEvalKit asks it: the last line is in Chinese if the
    question is."""
    options = _lettered(row)
    right = _letter(row, options)
    asked = _asked(row, options)
    last = "请直接回答选项字母。" if _CHINESE.search(asked) else LETTER
    return {
        "question": f"{asked}\n{last}",
        "answers": [right],
        "options": options,
        "category": given(row, "category"),
    }


def read_mmmu(row: BenchmarkRow, split: str) -> Fields:
    """MMMU, as VLMEvalKit asks and counts it.

    A question without options is open. It counts as one whose first option is the right answer.
    Where a question has several images, their marks come after it.
    """
    options = _lettered(row) or _list(row, "choices")
    right = text(row, "answers")
    asked = _asked(row, options)
    chinese = _CHINESE.search(asked)
    if options:
        _letter(row, options)
        last = "请直接回答选项字母。" if chinese else LETTER
    else:
        options, right = [right, "Other Answers"], "A"
        last = "请直接回答问题。" if chinese else "Answer the question directly."
    images = int(given(row, "pictures") or 1)
    marks = "".join(f"<Image-{number}>" for number in range(1, images + 1)) if images > 1 else ""
    part = {"validation": "val"}.get(given(row, "split"), given(row, "split") or split)
    subject = given(row, "category") or "_".join(given(row, "name").split("_")[1:-1])
    return {
        "question": f"{asked}\n{last}{marks}",
        "answers": [right],
        "options": options,
        "category": subject,
        "split": part,
    }


def read_scienceqa(row: BenchmarkRow, split: str) -> Fields:
    """ScienceQA: a hint, the question, and a list of options; the answer is the place of the right
    one."""
    options = _list(row, "choices")
    if not 2 <= len(options) <= 5:
        raise ValueError(f"{len(options)} choice(s); 2 to 5 are needed")
    return {
        "question": f"{_asked(row, options)}\n{LETTER}",
        "answers": [_letter(row, options)],
        "options": options,
        "category": given(row, "category"),
    }


def read_mmvp(row: BenchmarkRow, split: str) -> Fields:
    """MMVP: options in one text, ``(a) Open (b) Closed``. Two images that follow one another are a
    pair."""
    parts = _MMVP_OPTIONS.split(text(row, "options"))
    options = [option.strip() for option in parts[2::2]]
    found = _MMVP_OPTIONS.fullmatch(text(row, "answers").strip())
    right = found[1].upper() if found else ""
    if len(options) < 2 or right not in LETTERS[: len(options)] or not right:
        raise ValueError(
            f"options {row.get('options')!r:.80} and answer {row.get('answers')!r:.80}; needed are"
            " '(a) … (b) …' and '(a)' or '(b)'"
        )
    number = int(float(text(row, "index")))
    return {
        "question": f"{_asked(row, options)}\n{LETTER}",
        "answers": [right],
        "options": options,
        "group": str((number - 1) // 2),
    }


def read_pope(row: BenchmarkRow, split: str) -> Fields:
    """POPE: LLaVA's JSONL has the prompt's last line in its text; other forms do not."""
    question = text(row, "question").removesuffix(SHORT).rstrip()
    return {
        "question": question,
        "answers": [_yes_or_no(row)],
        "category": given(row, "category") or split,
    }


def read_hallusion(row: BenchmarkRow, split: str) -> Fields:
    """HallusionBench: VLMEvalKit's table has the numbers of set, figure and question in its index,
    ``…_set_figure_question``; other forms have them in columns."""
    numbers = [given(row, name) for name in ("set", "figure", "number")]
    if not all(numbers):
        numbers = text(row, "index").split("_")[3:6]
    if len(numbers) != 3 or not all(numbers):
        raise ValueError(
            f"index {row.get('index')!r:.80} does not end in the numbers of set, figure and"
            " question, and there are no columns set_id, figure_id and question_id"
        )
    category = given(row, "category")
    if kind := given(row, "kind"):
        category = kind if kind.startswith(f"{category}_") else f"{category}_{kind}"
    return {
        "question": text(row, "question"),
        "answers": [_yes_or_no(row)],
        "category": category,
        "group": "_".join(numbers),
    }


def read_mmvet(row: BenchmarkRow, split: str) -> Fields:
    """MM-Vet: a question, and the abilities that it needs, as a list or with commas between
    them."""
    several = row.get("category")
    needed = (
        ",".join(map(str, several)) if isinstance(several, list | tuple) else given(row, "category")
    )
    return {
        "question": text(row, "question"),
        "answers": [text(row, "answers")],
        "category": needed,
    }


def read_mmbench_video(row: BenchmarkRow, split: str) -> Fields:
    """MMBench-Video: a question, and the dimensions that it belongs to, as a list."""
    named = ",".join(map(str, _list(row, "category")))
    return {"question": text(row, "question"), "answers": [text(row, "answers")], "category": named}


def read_mathvista(row: BenchmarkRow, split: str) -> Fields:
    """MathVista: a question with its hint and choices; its group is the type of the answer."""
    options = _list(row, "choices")
    right = text(row, "answers")
    if options:
        right = given(row, "option") or (
            LETTERS[options.index(right)] if right in options else right
        )
        if right not in tuple(LETTERS[: len(options)]):
            raise ValueError(f"answer {right!r:.80} is none of the {len(options)} choices")
    return {
        "question": text(row, "question"),
        "answers": [right],
        "options": options,
        "category": given(row, "category"),
        "group": text(row, "kind"),
    }


def _yes_or_no(row: BenchmarkRow) -> str:
    said = text(row, "answers").lower()
    known = {"1": "yes", "0": "no"}.get(said, said)
    if known not in ("yes", "no"):
        raise ValueError(f"answer {said!r:.80}; yes or no is needed")
    return known


def _asked(row: BenchmarkRow, options: Sequence[str]) -> str:
    """A hint, the question, and the options, each on its own line."""
    lines = [given(row, "hint"), text(row, "question")]
    lines += [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join(line for line in lines if line)


def _lettered(row: BenchmarkRow) -> list[str]:
    """The options in columns A, B, and so on."""
    return [
        option
        for letter in LETTER_COLUMNS
        if (option := given(row, letter)) and option not in PANDAS_NA
    ]


def _list(row: BenchmarkRow, name: str) -> list[str]:
    """The options in one column: a list, or a list in Python's notation."""
    value = row.get(name)
    if not isinstance(value, list | tuple):
        value = given(row, name)
    if isinstance(value, str) and value:
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            raise ValueError(f"{name} {value!r:.80} is no list") from None
    return [str(option).strip() for option in value or ()]


def _letter(row: BenchmarkRow, options: Sequence[str]) -> str:
    """The letter of the right option, from that letter or from its place, which counts from 0."""
    right = text(row, "answers")
    letters = LETTERS[: len(options)]
    if right.isdecimal() and int(right) < len(letters):
        return letters[int(right)]
    if len(right) != 1 or right not in letters:
        raise ValueError(f"answer {right!r:.80} is no letter of the {len(options)} options")
    return right
