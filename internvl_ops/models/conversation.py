"""The family's conversation templates, as text.

A checkpoint's config names the one it was trained with. The chat template in its tokenizer files is another thing
(another system message, another separator) and costs accuracy, so it is not used here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

INTERNVL_1_5 = (
    "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"
)
INTERNVL_2_5 = (
    "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。"
)


@dataclass(frozen=True)
class Template:
    """How turns become one text.

    Attributes:
        system: Text around the system message, ``{}`` in its place. Empty for a template that has none.
        user, assistant: What opens a turn.
        user_end, assistant_end: What ends it. The first text in `stop` ends the assistant's in generation.
        system_message: Used unless the checkpoint's config brings its own.
        stop: Texts that end an answer; each is one token of its checkpoints.
    """

    system: str
    user: str
    assistant: str
    user_end: str
    assistant_end: str
    system_message: str
    stop: tuple[str, ...]


def _im_start(system_message: str, separator: str) -> Template:
    return Template(
        system="<|im_start|>system\n{}" + separator,
        user="<|im_start|>user\n",
        assistant="<|im_start|>assistant\n",
        user_end=separator,
        assistant_end=separator,
        system_message=system_message,
        stop=("<|im_end|>",),
    )


# 1.x and 2.0 close a turn without a newline, 2.5 on with one.
TEMPLATES: dict[str, Template] = {
    "Hermes-2": _im_start(INTERNVL_1_5, "<|im_end|>"),
    "internlm2-chat": _im_start(INTERNVL_1_5, "<|im_end|>"),
    "phi3-chat": Template(
        system="<|system|>\n{}<|end|>",
        user="<|user|>\n",
        assistant="<|assistant|>\n",
        user_end="<|end|>",
        assistant_end="<|end|>",
        system_message=INTERNVL_1_5,
        stop=("<|end|>",),
    ),
    "internvl2_5": _im_start(INTERNVL_2_5, "<|im_end|>\n"),
    "internvl_zh": Template(
        system="{}",
        user=" <human>: ",
        assistant=" <bot>:",
        user_end="",
        assistant_end="</s>",
        system_message="",
        stop=("</s>",),
    ),
}


def render(template: str, system_message: str, turns: Sequence[tuple[str, str | None]]) -> str:
    """The whole prompt as text, ending where the assistant is to answer.

    Args:
        template: A key of `TEMPLATES`.
        system_message: Text of the system turn.
        turns: (question, answer) pairs, oldest first; the last answer is None.
    """
    form = TEMPLATES[template]
    parts = [form.system.format(system_message)]
    for question, answer in turns:
        parts += [form.user, question, form.user_end, form.assistant]
        if answer is not None:
            parts += [answer, form.assistant_end]
    return "".join(parts)
