"""Compares a tokenizer's chat template with the conversation template from which prompts are built.

The two differ. The chat templates of InternVL 2.5 and 3 carry Qwen's system message
(OpenGVLab/InternVL#1094), and prompts built from them lose accuracy (#1208), so they are never used
here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.checkpoints.json_files import read_json
from internvl_ops.models.templates.bounded_jinja import SECONDS, Unbounded
from internvl_ops.models.templates.bounded_jinja import render_jinja as render_template
from internvl_ops.models.templates.conversation_template import render

PROBE = "Hello"
SHOWN_CHARACTERS = 60  # characters of each prompt to show, from where they differ


def disagreement(checkpoint: Checkpoint, system_message: str | None = None) -> str | None:
    """One sentence if the tokenizer's chat template writes a different prompt; None if the prompts
    are equal.

    Args:
        checkpoint: The checkpoint with both templates.
        system_message: The job's system message, if not the checkpoint's own.
    """
    if system_message is None:
        system_message = checkpoint.system_message
    used = render(checkpoint.template, system_message, [], PROBE)
    try:
        theirs = _rendered(checkpoint.folder())
    except Unbounded:
        return (
            f"The tokenizer of {checkpoint.model} has a chat template that does not come to an end:"
            f" it was given {SECONDS} seconds. Used is {checkpoint.template!r}, which the"
            " checkpoint was trained with."
        )
    if theirs is None or theirs == used:
        return None
    same = zip(theirs, used, strict=False)
    parted = next(
        (place for place, (one, other) in enumerate(same) if one != other),
        min(len(theirs), len(used)),
    )
    start = max(0, parted - SHOWN_CHARACTERS // 3)
    shown = slice(start, start + SHOWN_CHARACTERS)
    return (
        f"The tokenizer of {checkpoint.model} has a chat template that differs from the"
        f" conversation template {checkpoint.template!r}: it writes {theirs[shown]!r} where that"
        f" has {used[shown]!r}. Used is {checkpoint.template!r}, which the checkpoint was trained"
        " with."
    )


def _rendered(folder: Path) -> str | None:
    """A question in the chat template; None if there is no template or it refuses a plain
    question."""
    config = _read(folder / "special_tokens_map.json") | _read(folder / "tokenizer_config.json")
    source = _source(folder, config)
    if source is None:
        return None
    tokens = {
        name: _content(config.get(name))
        for name in ("bos_token", "eos_token", "pad_token", "unk_token")
    }
    messages = [{"role": "user", "content": PROBE}]
    text = render_template(source, {"messages": messages, "add_generation_prompt": True, **tokens})
    if text is None:
        return None
    return text.removeprefix(tokens["bos_token"])  # the tokenizer adds it itself


def _source(folder: Path, config: dict[str, Any]) -> str | None:
    """The template of the published files: since 2025 a file of its own, before that part of the
    tokenizer's config."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    found = config.get("chat_template") or _read(folder / "chat_template.json").get("chat_template")
    if isinstance(found, list):  # several named templates
        found = next(
            (entry.get("template") for entry in found if entry.get("name") == "default"), None
        )
    return found if isinstance(found, str) else None


def _read(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _content(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")
