"""The family's conversation templates, as text.

A checkpoint's config names the template that it was trained with. The chat template in its
tokenizer files differs (in the system message or the separator) and costs accuracy, so it is not
used here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

INTERNVL_1_5 = (
    "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL,"
    " 是一个有用无害的人工智能助手。"
)
INTERNVL_2_5 = (
    "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、"
    "清华大学及多家合作单位联合开发的多模态大语言模型。"
)
INTERNVL_3_5_GPT_OSS = (
    "You are InternVL, a large language model trained by Shanghai AI Laboratory.\n"
    "Knowledge cutoff: 2024-06\n"
    "Current date: 2025-08-06\n"
    "\n"
    "Reasoning: low\n"
    "\n"
    "# Valid channels: final. Channel must be included for every message."
)


@dataclass(frozen=True)
class Template:
    """How turns become one text.

    Attributes:
        system: The system turn, with ``{}`` for the system message.
        question: A question, with ``{}`` for its text.
        answer: An earlier answer, with ``{}`` for its text.
        reply: The text directly before the next answer.
        system_message: Used unless the checkpoint's config has its own.
        stop: Texts that end an answer; each is one token in the checkpoints that use the template.
    """

    system: str
    question: str
    answer: str
    reply: str
    system_message: str
    stop: tuple[str, ...]


def _im_start(system_message: str, end: str) -> Template:
    return Template(
        system="<|im_start|>system\n{}" + end,
        question="<|im_start|>user\n{}" + end,
        answer="<|im_start|>assistant\n{}" + end,
        reply="<|im_start|>assistant\n",
        system_message=system_message,
        stop=("<|im_end|>",),
    )


TEMPLATES: dict[str, Template] = {
    # Up to 2.0, a turn ends without a newline; since 2.5, with one.
    "Hermes-2": _im_start(INTERNVL_1_5, "<|im_end|>"),
    "internlm2-chat": _im_start(INTERNVL_1_5, "<|im_end|>"),
    "phi3-chat": Template(
        system="<|system|>\n{}<|end|>",
        question="<|user|>\n{}<|end|>",
        answer="<|assistant|>\n{}<|end|>",
        reply="<|assistant|>\n",
        system_message=INTERNVL_1_5,
        stop=("<|end|>",),
    ),
    "internvl2_5": _im_start(INTERNVL_2_5, "<|im_end|>\n"),
    "internvl_zh": Template(
        system="{} ",
        question="<human>: {} ",
        answer="<bot>: {}</s>",
        reply="<bot>:",
        system_message="",
        stop=("</s>",),
    ),
    # An earlier answer is written as the model generated it, including its channel header.
    "internvl3_5_gpt_oss": Template(
        system="<|start|>system<|message|>{}<|end|>",
        question="<|start|>user<|message|>{}<|end|>",
        answer="<|start|>assistant{}<|end|>",
        reply="<|start|>assistant",
        system_message=INTERNVL_3_5_GPT_OSS,
        stop=("<|return|>",),  # `<|end|>` only ends the thoughts before the final part
    ),
}


def render(
    template: str, system_message: str, history: Sequence[tuple[str, str]], question: str
) -> str:
    """The whole prompt as text, up to the start of the next answer.

    Args:
        template: A key of `TEMPLATES`.
        system_message: Text of the system turn.
        history: (question, answer) pairs, oldest first.
        question: The current question.
    """
    form = TEMPLATES[template]
    parts = [form.system.format(system_message)]
    for asked, answered in history:
        parts += [form.question.format(asked), form.answer.format(answered)]
    return "".join([*parts, form.question.format(question), form.reply])


# GPT-OSS marks the part of an answer that is for the reader with these.
CHANNEL, MESSAGE, FINAL = "<|channel|>", "<|message|>", "final"
_PART_ENDS = ("<|end|>", "<|start|>", "<|return|>", CHANNEL)


def final_part(text: str) -> str:
    """The part of an answer that is for the reader; the whole answer if it names no channel.

    It is empty if the answer was cut off in the thoughts. ``text`` includes the special tokens.
    """
    if CHANNEL not in text:
        return text
    found = ""
    for part in text.split(CHANNEL)[1:]:
        name, _, said = part.partition(MESSAGE)
        if name.strip().startswith(FINAL):
            found = said
    for end in _PART_ENDS:
        found = found.partition(end)[0]
    return found.strip()


def thinks_in_channels(text: str) -> bool:
    """Whether an answer, given with its special tokens, has a part that `final_part` leaves out."""
    names = [part.partition(MESSAGE)[0].strip() for part in text.split(CHANNEL)[1:]]
    return len(names) > 1 or any(not name.startswith(FINAL) for name in names)


def follow_up(template: str, question: str) -> str:
    """The text between an answer and the next one, in which ``question`` is asked."""
    form = TEMPLATES[template]
    return form.answer.split("{}")[1] + form.question.format(question) + form.reply
