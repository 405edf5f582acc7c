"""Judgements of texts as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, Field

from internvl_ops.media.kinds import MediaKind
from internvl_ops.tasks import Task, score
from internvl_ops.tasks.judged_texts import TEXT_COLUMNS
from internvl_ops.tasks.judging import Domain, Judge, Reason
from pipelines.options.job_options import InputNeeds
from pipelines.options.registered_task import Example, RegisteredTask
from pipelines.options.rules import refuse
from pipelines.sources.options import PROMPT_COLUMNS


class ScoreOptions(BaseModel):
    """Score"""

    judge: Judge = Field("quality", description="What to judge from 0 to 10: the quality of a "
        "text, whether it repeats itself (10: not at all), or its agreement with the "
        "pictures.")  # fmt: skip
    domain: Domain = Field(
        "general", description="What a text of good quality is, for --judge quality."
    )
    reason: Reason = Field(
        "none", description="Ask for a reason in words, before the number or after it."
    )
    text_column: str | None = Field(None, description="Column with the text to judge, or with a "
        "conversation. "
        f"Default: the first of {', '.join(TEXT_COLUMNS)}.")  # fmt: skip
    pictures: bool = Field(True, description="Show the row's pictures to the model.")


def make_score(options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
    check_score(options)
    return score(
        options.judge,
        options.domain,
        prompt=options.prompt,
        reason=options.reason,
        text_column=options.text_column,
        in_manifest=columns,
        max_new_tokens=options.max_new_tokens,
    )


def score_needs(options: Any) -> InputNeeds:
    texts = TEXT_COLUMNS if options.text_column is None else (options.text_column,)
    return InputNeeds(
        media_optional=options.judge != "agreement",
        without_media=not options.pictures,
        prompt_columns=tuple(dict.fromkeys((*PROMPT_COLUMNS, *texts))),
    )


def check_score(options: Any) -> None:
    """Refuses options of the judge that have no effect beside the others.

    Raises:
        ConfigurationError: The message names both.
    """
    if options.prompt:
        refuse(options, ("judge", "domain"), "--prompt says what is judged")
    if options.judge != "quality":
        refuse(
            options,
            ("domain",),
            f"it belongs to --judge quality, and this is --judge {options.judge}",
        )
    if options.judge == "agreement":
        refuse(options, ("pictures",), "--judge agreement compares the text with the pictures")
    if options.n > 1:
        refuse(options, ("n",), "a text gets one score")


TASK = RegisteredTask(
    "score",
    ScoreOptions,
    make_score,
    tiles=12,  # as for questions
    media=("image", "document", "video"),
    text_alone=True,
    needs=score_needs,
    examples=(
        *(
            Example(
                f"`--domain {name}`",
                {"domain": name},
                reads="texts, with images, pages or videos",
            )
            for name in get_args(Domain)
        ),
        Example(
            "`--judge repetition`",
            {"judge": "repetition", "pictures": False},
            reads="texts",
        ),
        Example(
            "`--judge agreement`",
            {"judge": "agreement"},
            reads="texts with images, pages or videos",
        ),
    ),
)
