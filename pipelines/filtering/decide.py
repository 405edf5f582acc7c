"""Applies rules to units: every unit ends with one verdict and the names of all rules that hold for
it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.remote import first_line
from pipelines.filtering.duplicates import find_duplicates
from pipelines.filtering.rules import Duplicates, Limits, Rule
from pipelines.output.sql import literal, quoted

SAMPLES = 5


@dataclass
class RuleReport:
    """What one rule did.

    Attributes:
        name: Of the rule.
        verdict: That it asks for.
        held: Units that it holds for.
        alone: Units that it and no other rule holds for.
        not_evaluated: Units on which its condition had no value or failed; the rule does not hold
            for them.
        condition: The condition as SQL, with limits that depend on all units filled in; empty for
            duplicates.
        samples: Some of the units: id and answer.
    """

    name: str
    verdict: str
    held: int = 0
    alone: int = 0
    not_evaluated: int = 0
    condition: str = ""
    samples: list[dict[str, Any]] = field(default_factory=list)


def decide(connection: Any, rules: Sequence[Rule], answer: str | None) -> list[RuleReport]:
    """Makes the table ``verdicts`` with the columns id, verdict, reasons and duplicate_of.

    A rule with the verdict ``keep`` that holds for a unit keeps it whatever the others say;
    otherwise ``drop`` wins over ``review``. Rules about duplicates come last: units that are
    dropped already are not compared.

    Args:
        connection: With the view ``units``.
        rules: Fitted to the columns of the units.
        answer: Column with the text that samples show.

    Raises:
        ConfigurationError: DuckDB refuses the condition of a rule.
    """
    ordinary = [rule for rule in rules if not isinstance(rule, Duplicates)]
    reports = _judge(connection, ordinary)
    _verdicts(connection, ordinary)
    for number, rule in enumerate(rule for rule in rules if isinstance(rule, Duplicates)):
        reports.append(_judge_duplicates(connection, rule, number))
    for report in reports:
        _count(connection, report, answer)
    places = {rule.title: place for place, rule in enumerate(rules)}
    return sorted(reports, key=lambda report: places[report.name])


def _judge(connection: Any, rules: Sequence[Rule]) -> list[RuleReport]:
    reports, chosen = [], ["id"]
    for number, rule in enumerate(rules):
        condition = _checked(connection, rule, _condition(connection, rule))
        reports.append(RuleReport(rule.title, rule.verdict, condition=condition))
        chosen.append(f"{_guarded(connection, condition)} AS r{number}")
    connection.execute(f"CREATE TABLE judged AS SELECT {', '.join(chosen)} FROM units")
    for number, report in enumerate(reports):
        counted = connection.execute(
            f"SELECT count(*) FROM judged WHERE r{number} IS NULL"
        ).fetchone()
        report.not_evaluated = counted[0]
    return reports


def _condition(connection: Any, rule: Rule) -> str:
    if not isinstance(rule, Limits):
        return rule.condition()
    limits: dict[str, float] = {}
    for side, percentile in rule.percentiles().items():
        query = f"SELECT quantile_cont(({rule.number()})::DOUBLE, {percentile / 100!r}) FROM units"
        (limit,) = _run(connection, rule, query).fetchone()
        given = getattr(rule, side)
        if limit is not None and (
            given is None or (limit > given if side == "below" else limit < given)
        ):
            limits[side] = limit
    return rule.model_copy(update=limits).condition()


def _checked(connection: Any, rule: Rule, condition: str) -> str:
    """The condition, if DuckDB takes it as one and it is true or false."""
    described = _run(
        connection, rule, f"DESCRIBE SELECT ({condition}) AS held FROM units"
    ).fetchall()
    if described[0][1] != "BOOLEAN":
        raise ConfigurationError(
            f"rule {rule.title}: {condition} is {described[0][1]}, not true or false. Compare it,"
            " as in `score < 7`."
        )
    return condition


def _run(connection: Any, rule: Rule, query: str) -> Any:
    try:
        return connection.execute(query)
    except Exception as error:
        raise ConfigurationError(f"rule {rule.title}: {first_line(error)}") from None


def _guarded(connection: Any, condition: str) -> str:
    """The condition with no value where its evaluation fails, if DuckDB can guard it."""
    guarded = f"TRY({condition})"
    try:
        connection.execute(f"DESCRIBE SELECT {guarded} FROM units")
    except Exception:
        return f"({condition})"
    return guarded


def _verdicts(connection: Any, rules: Sequence[Rule]) -> None:
    def any_of(verdict: str) -> str:
        return (
            " OR ".join(
                f"coalesce(r{i}, false)" for i, rule in enumerate(rules) if rule.verdict == verdict
            )
            or "false"
        )

    names = ", ".join(
        f"CASE WHEN r{i} THEN {literal(rule.title)} END" for i, rule in enumerate(rules)
    )
    reasons = f"list_filter([{names}], lambda name: name IS NOT NULL)" if rules else "[]::VARCHAR[]"
    connection.execute(
        f"CREATE TABLE verdicts AS SELECT id, CASE WHEN {any_of('keep')} THEN 'keep' WHEN"
        f" {any_of('drop')} THEN 'drop' WHEN {any_of('review')} THEN 'review' ELSE 'keep' END AS"
        f" verdict, ({any_of('keep')}) AS exempt, {reasons}::VARCHAR[] AS reasons, NULL::VARCHAR AS"
        " duplicate_of FROM judged"
    )
    connection.execute("DROP TABLE judged")


def _judge_duplicates(connection: Any, rule: Duplicates, number: int) -> RuleReport:
    connection.execute(
        "CREATE OR REPLACE TABLE candidates AS SELECT id FROM verdicts WHERE verdict <> 'drop'"
    )
    table = f"duplicates{number}"
    try:
        find_duplicates(connection, rule, table)
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(f"rule {rule.title}: {first_line(error)}") from None
    judged = literal(rule.verdict)
    connection.execute(
        f"UPDATE verdicts SET reasons = list_append(reasons, {literal(rule.title)}), "
        # Candidates are kept or reviewed so far; neither is stronger than what this rule says.
        f"verdict = CASE WHEN exempt THEN 'keep' ELSE {judged} END, duplicate_of ="
        f" coalesce(duplicate_of, found.kept) FROM {table} found WHERE verdicts.id = found.id"
    )
    return RuleReport(rule.title, rule.verdict)


def _count(connection: Any, report: RuleReport, answer: str | None) -> None:
    name = literal(report.name)
    held = f"list_contains(reasons, {name})"
    report.held, report.alone = connection.execute(
        f"SELECT count(*), count(*) FILTER (len(reasons) = 1) FROM verdicts WHERE {held}"
    ).fetchone()
    shown = f"left({quoted(answer)}::VARCHAR, 300)" if answer else "NULL"
    rows = connection.execute(
        f"SELECT id, any_value({shown}), any_value(duplicate_of) FROM verdicts JOIN units USING"
        f" (id) WHERE {held} GROUP BY id ORDER BY hash(id) LIMIT {SAMPLES}"
    ).fetchall()
    report.samples = [{"id": row[0], "answer": row[1], "duplicate_of": row[2]} for row in rows]
