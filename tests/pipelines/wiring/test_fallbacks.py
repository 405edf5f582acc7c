"""The second model of a job has the options of the first, but those that belong to its model."""

from __future__ import annotations

from pathlib import Path

import pytest

from internvl_ops.errors import ConfigurationError
from pipelines.options.command_line import build_options
from pipelines.options.rules import check_options
from pipelines.options.tasks import TASKS
from pipelines.output.again import check_choice
from pipelines.wiring.fallbacks import fallback_options, of_fallback

GIVEN = {"input": "m.jsonl", "output": "out", "model": "first"}


def test_engine_arguments_adapters_and_revisions_are_those_of_one_model() -> None:
    options = build_options(
        TASKS["ocr"].job_options(),
        GIVEN
        | {
            "engine_args": {"quantization": "awq"},
            "revision": "v1",
            "lora": "a=b",
            "max_new_tokens": 77,
        }
        | {"fallback": "second", "fallback_args": {"dtype": "float32"}},
    )
    check_options(options)
    other = fallback_options(options)
    assert (other.model, other.engine_args, other.revision, other.lora) == (
        "second",
        {"dtype": "float32"},
        None,
        None,
    )
    assert (other.max_new_tokens, other.input, other.output) == (77, "m.jsonl", "out")
    assert other.fallback is None


def test_the_server_of_the_fallback_is_that_of_the_job_unless_it_has_one() -> None:
    given = GIVEN | {"engine": "openai", "base_url": "http://a/v1", "fallback": "second"}
    cls = TASKS["caption"].job_options()
    assert fallback_options(build_options(cls, given)).base_url == "http://a/v1"
    other = build_options(cls, given | {"fallback_base_url": "http://b/v1"})
    assert fallback_options(other).base_url == "http://b/v1"


def test_what_is_wrong_with_the_second_model_is_said_of_its_own_options() -> None:
    options = build_options(TASKS["caption"].job_options(), GIVEN | {"fallback": "second"})
    assert (
        of_fallback("--model second: no such folder.", options)
        == "--fallback second: no such folder."
    )
    assert (
        of_fallback("--engine-args: 'foo' is none.", options)
        == "--fallback second: --fallback-args: 'foo' is none."
    )
    assert (
        of_fallback("--base-url x is down.", options) == "--fallback second: --base-url x is down."
    )


@pytest.mark.parametrize("only_in", ["out", "./out/", "file://{cwd}/out"])
def test_an_output_is_not_gone_over_into_itself(
    only_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = GIVEN | {"only": "id = 'a'", "only_in": only_in.format(cwd=tmp_path)}
    with pytest.raises(ConfigurationError, match="is --output itself"):
        check_choice(build_options(TASKS["caption"].job_options(), given))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"fallback_args": {"a": 1}}, "--fallback-args"),
        ({"fallback": "b", "fallback_base_url": "http://b/v1"}, "--fallback-base-url"),
        ({"fallback": "b", "shard": "1/2"}, "--shard"),
        ({"keep_history": True}, "--keep-history"),
        ({"only": "id = 'a'", "only_in": "x", "keep_history": True}, "--keep-history"),
        ({"only": "id = 'a'", "refresh": "changed"}, "--refresh"),
    ],
)
def test_options_without_effect_are_refused(more: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        check_options(build_options(TASKS["caption"].job_options(), GIVEN | more))
