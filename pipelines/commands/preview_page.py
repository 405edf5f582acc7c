"""Answers of several tries side by side, as one page without scripts."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import jinja2

from pipelines.commands.preview_answers import Tried, Unit
from pipelines.commands.preview_table import described, footer, summary


def page_of(units: Sequence[Unit], tried: Sequence[Tried]) -> str:
    """The page as HTML. Answers and names are text in it, never markup.

    Args:
        units: The units, with their pictures.
        tried: The tries; each has an answer to every unit.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["data_uri"] = lambda jpeg: (
        "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
    )
    template = environment.from_string(
        (Path(__file__).parent / "preview.html.jinja").read_text(encoding="utf-8")
    )
    texts = described([one.attempt for one in tried])
    return template.render(
        tries=[
            {"number": one.attempt.number, "text": text, "summary": summary(one)}
            for one, text in zip(tried, texts, strict=True)
        ],
        task=tried[0].attempt.task.name if tried else "",
        rows=[
            {
                "unit": unit,
                "answers": [
                    {"answer": one.answers[at], "footer": footer(one.answers[at])} for one in tried
                ],
            }
            for at, unit in enumerate(units)
        ],
    )
