"""A checkpoint's conversation template in Jinja, for servers that render chat messages themselves.

    python -m internvl_ops.models.prompts.jinja_template MODEL > internvl.jinja

Do not use the chat template in the tokenizer's files: its system message or separator differs from
training, which costs accuracy.
"""

from __future__ import annotations

import argparse
import json

from internvl_ops.models.checkpoints.config import Checkpoint, load_checkpoint
from internvl_ops.models.prompts.rendering import TAG
from internvl_ops.models.templates.conversation_template import TEMPLATES
from internvl_ops.models.tokenizers.tokenizer import (
    IMAGE_CONTEXT,
    IMAGE_END,
    IMAGE_START,
    Tokenizer,
)

PLACEHOLDER = IMAGE_START + IMAGE_CONTEXT + IMAGE_END

# Images replace the tags. Without tags, images between several texts keep their places; with one
# text, which most clients send, they come first, as in the model cards. `Renderer` does the same.
_JINJA = """\
{%- macro texts(content) -%}
  {%- if content is string -%}{{ content }}
  {%- else -%}{%- for part in content if part.type == 'text' -%}{{ part.text }}{%- endfor -%}
  {%- endif -%}
{%- endmacro -%}
{%- macro question(content) -%}
  {%- set text = texts(content) -%}
  {%- set images = 0 if content is string
      else content | selectattr('type', 'equalto', 'image') | list | length -%}
  {%- if TAG in text -%}{{ text | replace(TAG, PLACEHOLDER) }}
  {%- elif images and content | length > images + 1 -%}
    {%- for part in content -%}{{ part.text if part.type == 'text' else PLACEHOLDER }}{%- endfor -%}
  {%- else -%}
    {%- for number in range(1, images + 1) -%}
      {{ (PLACEHOLDER if images == 1 else 'Image-' ~ number ~ ': ' ~ PLACEHOLDER) ~ NEWLINE }}
    {%- endfor -%}
    {{ text }}
  {%- endif -%}
{%- endmacro -%}
{{- BEGIN -}}
{%- if messages[0].role != 'system' -%}{{ SYSTEM }}{%- endif -%}
{%- for message in messages -%}
  {%- if message.role == 'system' -%}{{ SYSTEM_OPEN ~ texts(message.content) ~ SYSTEM_CLOSE }}
  {%- elif message.role == 'user' -%}
    {{- QUESTION_OPEN ~ question(message.content) ~ QUESTION_CLOSE }}
  {%- elif message.role == 'assistant' -%}{{ ANSWER_OPEN ~ texts(message.content) ~ ANSWER_CLOSE }}
  {%- else -%}
    {{- raise_exception('messages are of role system, user or assistant, not ' ~ message.role) }}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ REPLY }}{%- endif -%}
"""


def jinja(template: str, system_message: str, begin: str = "") -> str:
    """A conversation template in Jinja.

    It takes messages in OpenAI's format: a content is a text, or a list of ``{"type": "text",
    "text": …}`` and ``{"type": "image"}``; vLLM calls this the content format ``openai``. A
    question may have `<image>` tags.

    Args:
        template: A key of `TEMPLATES`.
        system_message: System message if the messages have none.
        begin: Text of the begin-of-text token, because servers do not add it to a rendered chat
            template.
    """
    form = TEMPLATES[template]
    values = {
        "TAG": TAG,
        "PLACEHOLDER": PLACEHOLDER,
        "NEWLINE": "\n",
        "BEGIN": begin,
        "SYSTEM": form.system.format(system_message),
        "REPLY": form.reply,
    }
    for name in ("system", "question", "answer"):
        before, after = getattr(form, name).split("{}")
        values |= {f"{name.upper()}_OPEN": before, f"{name.upper()}_CLOSE": after}
    # JSON strings are valid Jinja strings.
    lines = [
        f"{{%- set {name} = {json.dumps(value, ensure_ascii=False)} -%}}\n"
        for name, value in values.items()
    ]
    return "".join(lines) + _JINJA


def jinja_template(checkpoint: Checkpoint) -> str:
    """The template with which a server renders the same token ids as `Renderer`.

    Raises:
        ConfigurationError: The checkpoint's tokenizer does not load.
    """
    tokenizer = Tokenizer(checkpoint)
    begin = tokenizer.decode(tokenizer.encode("").tolist(), keep_special=True)
    return jinja(checkpoint.template, checkpoint.system_message, begin)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m internvl_ops.models.prompts.jinja_template", description=__doc__
    )
    parser.add_argument("model", help="folder or hub name of the checkpoint")
    print(jinja_template(load_checkpoint(parser.parse_args().model)), end="")


if __name__ == "__main__":
    main()
