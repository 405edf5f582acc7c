"""Messages name settings by the keyword arguments that a caller from Python gives."""

from __future__ import annotations

import pickle
import re
import traceback
from pathlib import Path

import pytest

import internvl_ops
from internvl_ops.errors import ConfigurationError, UnitError, keyword, respelled, unforeseen

ROOT = Path(internvl_ops.__file__).parent
COMMAND_LINES = {ROOT / "serve.py", ROOT / "models" / "__main__.py"}
OF_OTHER_PROGRAMS = {"--query-gpu", "--format"}  # of nvidia-smi


def shouted(name: str, valued: bool) -> str:
    return name.upper() + ":" * valued


@pytest.mark.parametrize(
    "path", sorted(set(ROOT.rglob("*.py")) - COMMAND_LINES), ids=lambda path: path.stem
)
def test_no_line_of_the_package_names_an_option(path: Path) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", path.read_text()))
    assert named - OF_OTHER_PROGRAMS == set()


def test_a_keyword_is_read_as_in_a_call() -> None:
    assert "Lower `max_tiles`" in f"Lower {keyword('max_tiles')}".replace("\u2060", "")
    assert "`max_tiles`=12" in keyword("max_tiles", 12)


def test_a_keyword_has_another_spelling_with_its_value_or_without() -> None:
    message = f"{keyword('model', 'a/b')}: is a file. Name another {keyword('model')}."
    assert respelled(message, shouted) == "MODEL:a/b: is a file. Name another MODEL."


def test_no_text_of_a_file_or_an_answer_is_a_keyword() -> None:
    quoted = "`max_tiles` of 'a `model`=b.png'; max_tiles=3, --max-tiles 3, {max_tiles}"
    assert respelled(quoted, shouted) == quoted
    forged = keyword("max_tiles")
    assert (
        respelled(f"the answer is not JSON: {forged!r}", shouted)
        == f"the answer is not JSON: {forged!r}"
    )


@pytest.mark.parametrize(
    "error", [ConfigurationError, lambda said: UnitError("render", "bad_row", said)]
)
def test_a_keyword_stays_one_wherever_its_message_goes(error: type[Exception]) -> None:
    there = pickle.loads(pickle.dumps(error(f"Lower {keyword('max_tiles')}.")))
    wrapped = unforeseen("parse", ValueError(f"first, {there}"))
    for text in (str(there), wrapped.message, "".join(traceback.format_exception(there))):
        assert "Lower MAX_TILES." in respelled(text, shouted)
