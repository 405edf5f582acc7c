"""Answers in a required form: JSON that follows a schema, or one of several texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from internvl_ops.errors import ConfigurationError, UnitError, keyword
from internvl_ops.tasks.conversation import Dialogue

REPAIR = {
    "json": "This is not JSON of the form that was asked for. Answer again, with the JSON alone.",
    "choice": "This is none of the answers that are allowed. Answer again, with one of them alone.",
}


def read_schema(given: str) -> str:
    """A JSON schema as text.

    Args:
        given: The schema itself, or the path of a file that contains it.

    Raises:
        ConfigurationError: No such file, not JSON, not a valid schema, or a reference in it cannot
            be resolved.
    """
    import jsonschema  # imported here because it is slow and only tasks with a schema need it

    from internvl_ops.tasks.references import broken_reference

    text, said = given, keyword("json_schema", f"{given:.200}")
    if not given.lstrip().startswith("{"):
        try:
            text = Path(given).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"{keyword('json_schema', given)}: {error.strerror}. Give a file, or the schema"
                ' itself, as in \'{"type": "object"}\'.'
            ) from None
    try:
        schema = json.loads(text)
        if not isinstance(schema, dict):
            raise ConfigurationError(f"{said}: not a JSON schema: give an object, as in {{}}.")
        jsonschema.validators.validator_for(schema).check_schema(schema)
        broken = broken_reference(schema)
    except ValueError as error:
        raise ConfigurationError(f"{said}: not JSON: {error}") from None
    except RecursionError:
        raise ConfigurationError(f"{said}: nested too deep to be read.") from None
    except jsonschema.SchemaError as error:
        where = "/".join(map(str, error.path)) or "the schema"
        raise ConfigurationError(f"{said}: not a JSON schema: {where}: {error.message}") from None
    if broken is not None:
        raise ConfigurationError(f"{said}: {broken}.")
    return json.dumps(schema, ensure_ascii=False)


class Form(Protocol):
    """An object that states the form of an answer: a conversation, or the sampling of its last
    answer."""

    @property
    def json_schema(self) -> str | None: ...

    @property
    def choices(self) -> Sequence[str]: ...


def problem_of(text: str, form: Form) -> str | None:
    """Why ``text`` does not have the form; None if it does, or if any text is accepted."""
    if form.json_schema is not None:
        return _json_problem(text, json.loads(form.json_schema))
    if form.choices and text.strip() not in form.choices:
        return f"none of {', '.join(map(repr, form.choices))}"
    return None


def checked(dialogue: Dialogue) -> str:
    """The last answer, without surrounding whitespace.

    Raises:
        UnitError: ``bad_answer``, with the answer's beginning, if it does not have the required
            form.
    """
    text = dialogue.responses[-1]
    problem = problem_of(text, dialogue.conversation)
    if problem is not None:
        raise UnitError(
            "parse", "bad_answer", f"the answer is {problem}: {text[:300]!r}", attempts=2
        )
    return text.strip()


def repair_question(form: Form) -> str | None:
    """The question that asks again for an answer of this form; None if any text is accepted."""
    if form.json_schema is not None:
        return REPAIR["json"]
    return REPAIR["choice"] if form.choices else None


def choices_of(given: Sequence[Any]) -> tuple[str, ...]:
    """Allowed answers as texts, in order, without duplicates; null and NaN are none."""
    there = (choice for choice in given if choice is not None and choice == choice)
    return tuple(dict.fromkeys(text for choice in there if (text := str(choice).strip())))


def _json_problem(text: str, schema: Any) -> str | None:
    import jsonschema

    from internvl_ops.tasks.schema_patterns import bounded_validator

    try:
        value = json.loads(text, parse_constant=_no_json)
        worst = jsonschema.exceptions.best_match(bounded_validator(schema).iter_errors(value))
    except ValueError as error:
        return f"not JSON ({error})"
    except RecursionError:  # models may generate endless brackets
        return "JSON that is nested too deep to be read"
    if worst is None:
        return None
    where = "/".join(map(str, worst.path))
    return (
        "JSON that does not follow the schema"
        f" ({f'{where}: ' if where else ''}{worst.message:.200})"
    )


def _no_json(constant: str) -> Any:
    """Refuses NaN and Infinity, which Python reads but which are not JSON; other readers refuse
    them too."""
    raise ValueError(f"{constant} is not a JSON value")
