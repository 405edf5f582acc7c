"""The rules file: a list of rules, each with a name and a verdict for the units that it holds for.

A rule is an SQL condition of the user's (``where``) or a built-in one (``rule``). To add a built-in
rule, write a subclass of `Rule` here or of `Duplicates` in this module, and name it in `BUILT_IN`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.filtering import sql
from pipelines.filtering.refusals import REFUSALS
from pipelines.output.sql import literal, quoted

Verdict = Literal["keep", "review", "drop"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
_AROUND = r"^[\s\p{Z}]+|[\s\p{Z}]+$"  # white space around a text


class Rule(BaseModel):
    """What all rules have."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    needs: ClassVar[tuple[str, ...]] = ()  # functions of `functions.FUNCTIONS`

    name: str = Field(
        "",
        description=(
            "Name of the rule in `reasons` and in the report. Default: the built-in rule's."
        ),
    )
    verdict: Verdict = Field(
        "review", description="What becomes of a unit for which the rule holds."
    )
    if_missing: Literal["error", "skip"] = Field("error", description="When the output lacks a "
        "column of the rule: end with an error, or leave the rule out with a note.")  # fmt: skip

    @property
    def title(self) -> str:
        """The name in `reasons` and in the report."""
        return self.name or getattr(self, "rule", "")

    def columns(self) -> tuple[str, ...]:
        """Columns that the rule reads; those of SQL conditions are checked by DuckDB."""
        return tuple(value for value in (getattr(self, "column", None),) if value)

    def condition(self) -> str:
        """The SQL condition that holds for the units the rule is about."""
        raise NotImplementedError


class Where(Rule):
    """An SQL condition over the columns of the output."""

    where: str = Field(min_length=1)

    @model_validator(mode="after")
    def _named(self) -> Where:
        if not self.name:
            raise ValueError("a rule with `where` needs a name")
        return self

    def condition(self) -> str:
        return self.where


class TextRule(Rule):
    """A rule about a text."""

    column: str = Field("", description="Column with the text. Default: the task's answer.")

    @property
    def value(self) -> str:
        """The text as SQL; an empty one where there is none."""
        return f"coalesce({quoted(self.column)}::VARCHAR, '')"


class Limits(Rule):
    """A rule about a number with limits."""

    below: float | None = Field(None, description="The rule holds for numbers below this one.")
    above: float | None = Field(None, description="The rule holds for numbers above this one.")
    below_percentile: float | None = Field(
        None, ge=0, le=100, description="The same, as a percentile of all units."
    )
    above_percentile: float | None = Field(
        None, ge=0, le=100, description="The same, as a percentile of all units."
    )

    @model_validator(mode="after")
    def _limited(self) -> Limits:
        given = (self.below, self.above, self.below_percentile, self.above_percentile)
        if all(value is None for value in given):
            raise ValueError("the rule needs below, above, below_percentile or above_percentile")
        return self

    def number(self) -> str:
        """The number as SQL."""
        raise NotImplementedError

    def percentiles(self) -> dict[str, float]:
        """Limits that depend on all units: the field's name and the percentile."""
        found = {"below": self.below_percentile, "above": self.above_percentile}
        return {side: value for side, value in found.items() if value is not None}

    def condition(self) -> str:
        limits = [("<", self.below), (">", self.above)]
        parts = [
            f"({self.number()}) {sign} {limit!r}" for sign, limit in limits if limit is not None
        ]
        return " OR ".join(parts) or "false"


class Value(Limits):
    """Limits of a number: a score, a measure of the picture, a count of tokens."""

    rule: Literal["value"]
    column: str = Field(min_length=1)

    def number(self) -> str:
        return ".".join(map(quoted, self.column.split(".")))  # NAME.column of a joined output


class Length(Limits, TextRule):
    """Limits of a text's length; white space around it does not count."""

    rule: Literal["length"]
    unit: Literal["characters", "words", "lines"] = "characters"

    def number(self) -> str:
        trimmed = f"regexp_replace({self.value}, {literal(_AROUND)}, '', 'g')"
        counted = {
            "characters": trimmed,
            "words": sql.words(self.value),
            "lines": sql.lines(self.value),
        }
        return f"length({counted[self.unit]})"


class Sentences(Limits, TextRule):
    """Limits of the longest sentence in characters; a line end ends a sentence."""

    rule: Literal["sentence_length"]

    def number(self) -> str:
        pieces = f"string_split_regex({self.value}, {literal('[.!?。！？' + chr(10) + ']+')})"
        return f"coalesce(list_max(list_transform({pieces}, lambda piece: length(trim(piece)))), 0)"


class DuplicateLines(Limits, TextRule):
    """Share of the lines that repeat an earlier one, in texts of at least ``lines`` lines."""

    rule: Literal["duplicate_lines"]
    lines: int = Field(4, ge=2)

    def number(self) -> str:
        found = sql.lines(self.value)
        return f"CASE WHEN len({found}) < {self.lines} THEN 0 ELSE {sql.repeated_share(found)} END"


class DuplicateNgrams(Limits, TextRule):
    """Share of the runs of ``n`` words that repeat an earlier one."""

    rule: Literal["duplicate_ngrams"]
    n: int = Field(10, ge=1)

    def number(self) -> str:
        words, n = sql.words(self.value), self.n
        runs = (
            f"list_transform(range(1, len({words}) - {n - 2}), lambda i: list_slice({words}, i, i +"
            f" {n - 1}))"
        )
        return f"CASE WHEN len({words}) < {n} THEN 0 ELSE {sql.repeated_share(runs)} END"


class Repetition(TextRule):
    """Texts that go round in circles, by the detector that also ends such answers while they are
    generated."""

    rule: Literal["repetition"]
    needs = ("is_repetitive",)

    def condition(self) -> str:
        return f"is_repetitive({self.value})"


class Language(TextRule):
    """Texts in none of the ``allowed`` languages; those of which it cannot be told, as of numbers,
    are left alone."""

    rule: Literal["language"]
    allowed: tuple[str, ...] = Field(
        min_length=1, description="Codes of ISO 639-1, such as en or zh."
    )
    characters: int = Field(20, ge=1, description="Shortest text that is judged.")
    needs = ("language_of",)

    def condition(self) -> str:
        allowed = ", ".join(map(literal, self.allowed))
        other = f"coalesce(language_of({self.value}) NOT IN ({allowed}), false)"
        return f"length({self.value}) >= {self.characters} AND {other}"


class Refusal(TextRule):
    """Answers that refuse, in English or Chinese, or begin with an apology in German, French,
    Spanish or Japanese; ``also`` adds regular expressions."""

    rule: Literal["refusal"]
    also: tuple[str, ...] = ()

    def condition(self) -> str:
        found = (
            f"regexp_matches({self.value}, {literal(pattern)}, 'i')"
            for pattern in (*REFUSALS, *self.also)
        )
        return " OR ".join(found)


class FinishReason(Rule):
    """Answers that ended for one of these reasons."""

    rule: Literal["finish_reason"]
    any_of: tuple[str, ...] = ("repetition", "length")

    def columns(self) -> tuple[str, ...]:
        return ("finish_reason",)

    def condition(self) -> str:
        return f"finish_reason IN ({', '.join(map(literal, self.any_of))})"


class BoxesOutside(Rule):
    """Boxes that leave the picture by more than ``tolerance`` pixels, or that have no area."""

    rule: Literal["boxes_outside"]
    column: str = "boxes"
    tolerance: float = Field(1.0, ge=0)

    def columns(self) -> tuple[str, ...]:
        return (self.column, "width", "height")

    def condition(self) -> str:
        t = self.tolerance
        outside = (
            f"box.x1 < -{t} OR box.y1 < -{t} OR box.x2 > width + {t} OR box.y2 > height + {t} "
            "OR box.x2 <= box.x1 OR box.y2 <= box.y1"
        )
        return f"len(list_filter(coalesce({quoted(self.column)}, []), lambda box: {outside})) > 0"


class Duplicates(Rule):
    """Units that repeat another one, which is kept. Units that other rules drop are no originals.

    ``best_first`` decides which unit of a group is kept: an SQL ordering, after which the smaller
    id comes first.
    """

    verdict: Literal["drop", "review"] = "review"
    best_first: str = Field(
        "", description="An SQL ordering, such as `score DESC, length(text) DESC`."
    )


class ExactDuplicates(Duplicates):
    """Units whose ``columns`` are equal. Texts are compared without regard to case and blanks."""

    rule: Literal["duplicates"]
    of: tuple[str, ...] = Field(
        (), description="Columns that are compared. Default: the task's answer."
    )

    def columns(self) -> tuple[str, ...]:
        return self.of


class NearImages(Duplicates):
    """Pictures whose perceptual hashes differ in at most ``bits`` of 64 bits. ``mirrored`` also
    compares each with the mirrored others, whose hash is told from theirs; there, 4 more bits may
    differ."""

    rule: Literal["near_duplicate_images"]
    column: str = "image_phash"
    bits: int = Field(4, ge=0, le=16)
    mirrored: bool = False


class NearTexts(Duplicates):
    """Texts whose sets of three-word runs have at least this Jaccard ``similarity``, estimated by
    MinHash."""

    rule: Literal["near_duplicate_texts"]
    column: str = ""
    similarity: float = Field(0.8, gt=0.3, le=1)


class NearVectors(Duplicates):
    """Units whose vectors have at least this cosine ``similarity``. Above 50,000 units, an index
    finds the pairs."""

    rule: Literal["near_duplicate_vectors"]
    column: str = "vector"
    similarity: float = Field(0.95, gt=0, le=1)


BUILT_IN: dict[str, type[Rule]] = {
    "value": Value,
    "length": Length,
    "sentence_length": Sentences,
    "duplicate_lines": DuplicateLines,
    "duplicate_ngrams": DuplicateNgrams,
    "repetition": Repetition,
    "language": Language,
    "refusal": Refusal,
    "finish_reason": FinishReason,
    "boxes_outside": BoxesOutside,
    "duplicates": ExactDuplicates,
    "near_duplicate_images": NearImages,
    "near_duplicate_texts": NearTexts,
    "near_duplicate_vectors": NearVectors,
}


def parse_rule(entry: dict[str, Any]) -> Rule:
    """The rule that an entry of the file describes.

    Raises:
        ValueError: With what is wrong; pydantic's ``ValidationError`` is one.
    """
    if ("where" in entry) == ("rule" in entry):
        raise ValueError("needs either `where` with an SQL condition, or `rule` with a built-in "
            "one: "
                         + ", ".join(BUILT_IN))  # fmt: skip
    if "where" in entry:
        return Where.model_validate(entry)
    if entry["rule"] not in BUILT_IN:
        raise ValueError(f"rule {entry['rule']!r} is none of: {', '.join(BUILT_IN)}")
    return BUILT_IN[entry["rule"]].model_validate(entry)
