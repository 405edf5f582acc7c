"""A user hears when the tokenizer's chat template is another than the one that prompts are built
from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from internvl_ops.models.checkpoints.config import load_checkpoint
from internvl_ops.models.prompts.chat_template import disagreement

# InternVL 2.5's own, but for its system message, which stands where {} is.
AS_TRAINED = (
    "<|im_start|>system\n{}<|im_end|>\n{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{"
    " m['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt"
    " %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture
def copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))


def said(folder: Path, template: Any = None, **options: Any) -> str | None:
    if template is not None:
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))
    return disagreement(load_checkpoint(str(folder)), **options)


def test_another_system_message_is_said(copy: Path) -> None:
    message = said(copy)
    assert message is not None
    assert "You are a helpful assistant" in message  # theirs
    assert "书生·万象" in message  # ours
    assert "Used is 'internvl2_5'" in message
    assert str(copy) in message


def test_another_separator_is_said(copy: Path) -> None:
    system = load_checkpoint(str(copy)).system_message
    message = said(
        copy, AS_TRAINED.replace("{}", system, 1).replace("<|im_end|>\n{%", "<|im_end|>{%")
    )
    assert message is not None
    assert "where that has" in message


@pytest.mark.parametrize(
    "wrap",
    [
        str,
        lambda text: [
            {"name": "tool_use", "template": "x"},
            {"name": "default", "template": text},
        ],
    ],
)
def test_the_same_is_no_news(copy: Path, wrap: Any) -> None:
    system = load_checkpoint(str(copy)).system_message
    assert said(copy, wrap(AS_TRAINED.replace("{}", system, 1))) is None


def test_the_job_s_system_message_counts(copy: Path) -> None:
    assert said(copy, AS_TRAINED.replace("{}", "Be brief.", 1), system_message="Be brief.") is None
    assert said(copy, AS_TRAINED.replace("{}", "Be brief.", 1)) is not None


def test_a_beginning_token_is_the_tokenizers_own_business(copy: Path) -> None:
    system = load_checkpoint(str(copy)).system_message
    path = copy / "special_tokens_map.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"bos_token": {"content": "<s>"}}))
    assert said(copy, "{{ bos_token }}" + AS_TRAINED.replace("{}", system, 1)) is None


def test_a_file_of_its_own_wins(copy: Path) -> None:
    (copy / "chat_template.jinja").write_text("Human: {{ messages[0]['content'] }}")
    message = said(copy)
    assert message is not None
    assert "Human: Hello" in message


@pytest.mark.parametrize(
    "template",
    [
        "",
        "{{ raise_exception('only with images') }}",
        "{% if %}",
        "{{ messages[0].__class__.__mro__ }}{{ ().__class__.__base__.__subclasses__() }}",
        "{{ 1 / 0 }}",
    ],
)
def test_a_template_that_cannot_be_rendered_is_left_alone(copy: Path, template: str) -> None:
    assert said(copy, template) is None


@pytest.mark.parametrize(
    "endless",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set text = 'a' * 2000000000 %}{{ text }}",
    ],
    ids=["loops", "memory"],
)
def test_a_template_without_end_is_said_and_waited_for_no_longer(copy: Path, endless: str) -> None:
    assert "does not come to an end" in (said(copy, endless) or "")


@pytest.mark.parametrize(
    "refusing", ["{{ raise_exception('no') }}", "{% if %}", "{{ messages[7].content.x.y }}"]
)
def test_a_template_that_takes_no_plain_question_is_no_news(copy: Path, refusing: str) -> None:
    assert said(copy, refusing) is None
