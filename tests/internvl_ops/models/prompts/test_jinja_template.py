"""A server that renders messages with the generated Jinja template builds the prompt that this
project builds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.prompts.jinja_template import PLACEHOLDER, jinja, jinja_template
from internvl_ops.models.prompts.rendering import TAG, Renderer
from internvl_ops.models.templates.conversation_template import TEMPLATES, render

IMAGE = {"type": "image"}


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


# messages → the questions, with tags, that stand in the prompt
QUESTIONS: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "text": ([user("What is {this}?")], ["What is {this}?"]),
    "text as a part": ([user([text("What is it?")])], ["What is it?"]),
    "one image": ([user([IMAGE, text("What is it?")])], ["<image>\nWhat is it?"]),
    "the image last": ([user([text("What is it?"), IMAGE])], ["<image>\nWhat is it?"]),
    "no text": ([user([IMAGE])], ["<image>\n"]),
    "several images": (
        [user([IMAGE, IMAGE, text("What differs?")])],
        ["Image-1: <image>\nImage-2: <image>\nWhat differs?"],
    ),
    "images between texts": (
        [user([IMAGE, text(" or "), IMAGE, text("?")])],
        ["<image> or <image>?"],
    ),
    "an image after two texts": ([user([text("What is "), IMAGE, text("")])], ["What is <image>"]),
    "frames": (
        [user([text("Frame1: "), IMAGE, text("\nFrame2: "), IMAGE, text("\nWhat happens?")])],
        ["Frame1: <image>\nFrame2: <image>\nWhat happens?"],
    ),
    "tags in the text": ([user([IMAGE, text("Is <image> red?"), ])], ["Is <image> red?"]),
    "a second turn": (
        [user([IMAGE, text("What is it?")]), {"role": "assistant", "content": "A square."},
         user("And now?")],
        ["<image>\nWhat is it?", "And now?"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_checkpoint)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("system", [None, 'You answer "briefly".\n'])
@pytest.mark.parametrize("asked", QUESTIONS)
def test_every_template_and_form(
    tokenizer: Any, template: str, system: str | None, asked: str
) -> None:
    messages, questions = QUESTIONS[asked]
    if system is not None:
        messages = [{"role": "system", "content": system}, *messages]
    given = tokenizer.apply_chat_template(
        messages,
        chat_template=jinja(template, TEMPLATES[template].system_message, begin="<s>"),
        tokenize=False,
        add_generation_prompt=True,
    )
    history = [(question, "A square.") for question in questions[:-1]]
    message = TEMPLATES[template].system_message if system is None else system
    assert given == "<s>" + render(template, message, history, questions[-1]).replace(
        TAG, PLACEHOLDER
    )


def test_a_checkpoints_own_system_message_and_ids(tokenizer: Any, checkpoint: Checkpoint) -> None:
    messages = QUESTIONS["several images"][0]
    ids = tokenizer.apply_chat_template(
        messages,
        chat_template=jinja_template(checkpoint),
        add_generation_prompt=True,
        return_dict=False,
    )
    expected = Renderer(checkpoint).render("What differs?", [2, 1])
    bare = [token for token in ids if token != Renderer(checkpoint).tokenizer.image_context_id]
    context_id = Renderer(checkpoint).tokenizer.image_context_id
    assert bare == [token for token in expected.token_ids.tolist() if token != context_id]
    assert ids.count(context_id) == 2


def test_roles_that_the_family_has_not(tokenizer: Any) -> None:
    with pytest.raises(Exception, match="not tool"):
        tokenizer.apply_chat_template(
            [{"role": "tool", "content": "4"}], chat_template=jinja("internvl2_5", "Hello.")
        )
