"""Asks a judge model about the answers of a benchmark. Judgements are kept, so that none is asked
for twice."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from internvl_ops.engines.base import EngineDead
from internvl_ops.engines.endpoint import Endpoint, Patience, api_key
from internvl_ops.errors import ConfigurationError, UnitError
from internvl_ops.evaluation import BENCHMARKS, Benchmark, Sample
from internvl_ops.evaluation.benchmark import JudgeRule
from internvl_ops.events import note
from internvl_ops.stores.redaction import safe_uri
from pipelines.interruption import Interrupted, phase
from pipelines.options.messages import say_now
from pipelines.output.folder import EVALUATION, OutputFolder
from pipelines.output.parquet_bytes import as_parquet
from pipelines.output.side_files import content_of, write_side_file

logger = logging.getLogger(__name__)

JUDGEMENTS = f"{EVALUATION}/judgements.parquet"
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("asked", pa.string()),
        ("judge", pa.string()),
        ("judgement", pa.string()),
    ]
)
_JUDGED = ", ".join(name for name, one in BENCHMARKS.items() if one.judge is not None)
_AT_ONCE = 8  # requests
_EARLY_S = 20.0  # most seconds for the first word
# of one attempt after the other, as VLMEvalKit asks again
_TEMPERATURES = (0.0, 0.5, 1.0, 1.5, 2.0)


class JudgeFailed(OSError):
    """The judge is away or refuses to answer. Its judgements so far are kept."""


def check_judge(options: Any, benchmark: Benchmark) -> None:
    """Refuses a benchmark without the judge that it needs, and a judge that nothing asks.

    Raises:
        ConfigurationError: The message names the option.
    """
    if benchmark.judge is None:
        for name in ("judge_url", "judge_model"):
            if (value := getattr(options, name)) is not None:
                raise ConfigurationError(
                    f"--{name.replace('_', '-')} {value} is for --benchmark {_JUDGED}. Leave it"
                    " out."
                )
    elif options.judge_url is None:
        raise ConfigurationError(
            f"--benchmark {options.benchmark}: a judge model rates or reads its answers. Name yours"
            " by --judge-url http://HOST:PORT/v1 and --judge-model NAME."
        )
    elif (
        urlsplit(options.judge_url).scheme not in ("http", "https")
        or not urlsplit(options.judge_url).hostname
    ):
        raise ConfigurationError(
            f"--judge-url {safe_uri(options.judge_url)}: give an address such as"
            " http://HOST:PORT/v1."
        )


def ask_judge_early(options: Any) -> str | None:
    """Asks the judge a word before anything starts, unless the output has judgements already.

    Returns:
        A line for the user if it does not answer yet: it is needed only when all questions are
        answered.

    Raises:
        ConfigurationError: It refuses the key or the model.
    """
    if options.judge_url is None or _kept(OutputFolder(options.output)):
        return None

    async def ask() -> None:
        patience = Patience(away_s=0, answer_s=_EARLY_S, attempts=1)
        endpoint = Endpoint(options.judge_url, api_key(), patience, 1)
        try:
            model = options.judge_model or await _only_model(endpoint)
            hello = {
                "model": model,
                "messages": [{"role": "user", "content": "Hello."}],
                "max_tokens": 1,
            }
            await endpoint.post("/chat/completions", hello, _words)
        finally:
            await endpoint.close()

    try:
        asyncio.run(ask())
    except ConfigurationError as error:
        raise ConfigurationError(_as_judge(error)) from None
    except (EngineDead, UnitError) as error:
        why = _as_judge(error).partition(". ")[0]
        return f"the judge does not answer yet: {why}. It is asked when all questions are answered."
    return None


def judge_of(options: Any) -> str:
    """Names the judge, as judgements are kept by it."""
    return (
        f"{options.judge_model or 'the model'} at {safe_uri(options.judge_url)}"
        if options.judge_url
        else ""
    )


def judged(
    options: Any, rule: JudgeRule, samples: Sequence[Sample], run_id: str
) -> tuple[list[Sample], int]:
    """The samples with their judgements.

    Returns:
        The samples, and how many the judge gave no usable judgement about.

    Raises:
        JudgeFailed: The judge is away, refuses the key, or does not serve the model. Judgements so
            far are kept.
        OSError: A signal came. Judgements so far are kept.
    """
    output, judge = OutputFolder(options.output), judge_of(options)
    asked = {
        sample.id: prompt
        for sample in samples
        if not sample.failed and (prompt := rule.ask(sample)) is not None
    }
    known = {
        row["id"]: row["judgement"]
        for row in _kept(output)
        if row["judge"] == judge and row["asked"] == _digest(asked.get(row["id"], ""))
    }
    todo = {name: prompt for name, prompt in asked.items() if name not in known}
    if todo:
        say_now(f"asking the judge about {len(todo):,} answers")
        kept = "What it said so far is kept; the same command goes on."
        try:
            with phase("holding"):
                asyncio.run(_ask_all(options, rule, todo, known))
        except (EngineDead, ConfigurationError) as error:
            raise JudgeFailed(
                f"--judge-url {safe_uri(options.judge_url)}: {_as_judge(error)} {kept}"
            ) from None
        except Interrupted:
            raise OSError(f"interrupted while the judge was asked. {kept}") from None
        finally:
            rows = [
                {"id": name, "asked": _digest(asked[name]), "judge": judge, "judgement": said}
                for name, said in known.items()
            ]
            data = as_parquet(pa.Table.from_pylist(rows, _SCHEMA))
            write_side_file(output, JUDGEMENTS, data, run_id, beside=True)
    found = [replace(sample, judgement=known.get(sample.id, "")) for sample in samples]
    return found, sum(name not in known for name in asked)


def _as_judge(error: Exception) -> str:
    """A message about an endpoint, with the options that name the judge."""
    names = {
        "`base_url`": "`judge_url`",
        "`model`": "`judge_model`",
        "where the engines run": "for this command",
    }
    return functools.reduce(lambda text, name: text.replace(name, names[name]), names, str(error))


def _kept(output: OutputFolder) -> list[dict[str, Any]]:
    data = content_of(output, JUDGEMENTS)
    return [] if data is None else list(pq.read_table(pa.BufferReader(data)).to_pylist())


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


async def _ask_all(
    options: Any, rule: JudgeRule, todo: dict[str, str], known: dict[str, str]
) -> None:
    """Adds to ``known`` what the judge says about each prompt, as soon as it says it."""
    endpoint = Endpoint(options.judge_url, api_key(), Patience(), _AT_ONCE)
    places = asyncio.Semaphore(_AT_ONCE)
    try:
        model = options.judge_model or await _only_model(endpoint)

        async def one(name: str, prompt: str) -> None:
            async with places:
                try:
                    said = await _ask(endpoint, model, rule, prompt)
                except UnitError as error:
                    note(logger, "judge_failed", f"the judge failed at {name}: {error.message}")
                    return
            if said is not None:
                known[name] = said

        async with asyncio.TaskGroup() as group:
            for name, prompt in todo.items():
                group.create_task(one(name, prompt))
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    finally:
        await endpoint.close()


async def _only_model(endpoint: Endpoint) -> str:
    try:
        served = [str(model["id"]) for model in (await endpoint.get("/models"))["data"]]
    except (KeyError, TypeError):
        served = []
    if len(served) != 1:
        raise ConfigurationError(
            f"--judge-url {endpoint.name}: it serves {', '.join(served) or 'no model'}. Name one by"
            " --judge-model."
        )
    return served[0]


async def _ask(endpoint: Endpoint, model: str, rule: JudgeRule, prompt: str) -> str | None:
    """The judge's words; None if it never gives any that can be used."""
    system = [{"role": "system", "content": rule.system}] if rule.system else []
    for temperature in _TEMPERATURES:
        body = {
            "model": model,
            "messages": [*system, {"role": "user", "content": prompt}],
            "max_tokens": rule.max_tokens,
            "temperature": temperature,
        }
        said = await endpoint.post("/chat/completions", body, _words)
        if rule.accepts(said):
            return said
    return None


def _words(answer: Any) -> str:
    return str(answer["choices"][0]["message"]["content"] or "").strip()
