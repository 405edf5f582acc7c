"""Reads the answers of model servers, whole or streamed, and accepts the formats in which servers
differ."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from typing import Any

from internvl_ops.engines.base import WATCHED_EVERY, Completion, Watch
from internvl_ops.errors import ConfigurationError, keyword
from internvl_ops.models.templates.conversation_template import (
    TEMPLATES,
    final_part,
    thinks_in_channels,
)

_STOPS = tuple({stop for template in TEMPLATES.values() for stop in template.stop})
_LARGEST_COUNT = 2**31 - 1  # the maximum of the columns of a result
_CUT = frozenset(
    {"length", "max_tokens", "max_length", "max_new_tokens", "model_length", "max_output_tokens"}
)
# With these reasons the server itself says that this is not the model's answer. Any other reason
# ends an answer.
_NO_ANSWER = frozenset(
    {"content_filter", "content_filtered", "safety", "error", "abort", "aborted", "cancelled"}
)
_CALLS = "tool_calls"  # nobody gave it tools, so this is no answer


def completion(answer: Any, *, log_probs: bool = False) -> Completion:
    """A whole answer.

    Args:
        answer: The JSON of a server.
        log_probs: Whether log-probabilities were asked for; otherwise those that a server sends
            are passed over.

    Raises:
        KeyError, TypeError, IndexError: This is not an answer.
    """
    choice, usage = answer["choices"][0], _object(answer.get("usage"))
    if not _said(choice):
        raise KeyError("message")
    return Completion(
        token_ids=_token_ids(choice.get("token_ids")),
        prompt_tokens=_count(usage.get("prompt_tokens"), 0),
        finish_reason=_no_answer(choice) or _reason(choice.get("finish_reason")) or "stop",
        logprobs=_logprobs(choice.get("logprobs")) if log_probs else [],
        text=_answer_of(_text(choice)),
        completion_tokens=_count(usage.get("completion_tokens"), 0),
        left_out=_thinks(choice) or thinks_in_channels(_text(choice)),
    )


async def watched(
    parts: AsyncIterator[Any], watch: Watch, *, log_probs: bool = False
) -> Completion:
    """A streamed answer; ``watch`` sees the text so far, every few parts.

    Args:
        parts: JSON values as a server sends them; None is its end mark.
        watch: Ends the answer early by returning True.
        log_probs: As for `completion`.

    Raises:
        ValueError: The parts end before the answer does.
    """
    answer = Completion([], 0, "", text="")
    text, next_look, begun, calls = "", WATCHED_EVERY, False, False
    async for part in parts:
        if part is None:
            # An end mark without a reason also ends an answer, if the answer has begun.
            answer.finish_reason = answer.finish_reason or ("stop" if begun else "")
            break
        usage = _object(_object(part).get("usage"))
        answer.prompt_tokens = _count(usage.get("prompt_tokens"), answer.prompt_tokens)
        choice = _first_choice(part)
        # Where a server counts tokens only at the end, each part counts as one token until then.
        counted = answer.completion_tokens + bool(choice and _text(choice))
        answer.completion_tokens = _count(usage.get("completion_tokens"), counted)
        if not choice:
            continue
        begun = True
        said = _text(choice)
        # Some servers repeat the whole message at the end of a stream.
        whole = bool(text) and not choice.get("delta") and said.startswith(text)
        text = said if whole else text + said
        answer.left_out |= _thinks(choice)
        answer.token_ids += _token_ids(choice.get("token_ids"))
        if log_probs:
            answer.logprobs += _logprobs(choice.get("logprobs"))
        calls = calls or bool(_no_answer(choice))
        answer.finish_reason = _reason(choice.get("finish_reason")) or answer.finish_reason
        if answer.finish_reason or answer.completion_tokens < next_look:
            continue
        next_look = answer.completion_tokens + WATCHED_EVERY
        if watch(_answer_of(text)):
            answer.finish_reason = "watch"
            break
    if not answer.finish_reason:
        raise ValueError("it breaks off")
    answer.text = _answer_of(text)
    if calls and not answer.text:
        answer.finish_reason = _CALLS
    answer.left_out |= thinks_in_channels(text)
    return answer


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _first_choice(part: Any) -> dict[str, Any]:
    choices = _object(part).get("choices")
    return _object(choices[0]) if isinstance(choices, list) and choices else {}


def _said(choice: dict[str, Any]) -> bool:
    return (
        any(isinstance(choice.get(name), dict) for name in ("delta", "message")) or "text" in choice
    )


def _text(choice: dict[str, Any]) -> str:
    """The text of a choice, in any of the fields that servers use; empty if there is none."""
    delta, message = _object(choice.get("delta")), _object(choice.get("message"))
    for content in (delta.get("content"), message.get("content"), choice.get("text")):
        if isinstance(content, str) and content:
            return content
        if isinstance(content, list):
            return "".join(filter(None, map(_text_of_part, content)))
        if content is not None and content != "":  # a server may read JSON that it was asked for
            return json.dumps(content, ensure_ascii=False)
    for said in (delta.get("refusal"), message.get("refusal")):
        if isinstance(said, str) and said:
            return said
    return ""


def _no_answer(choice: dict[str, Any]) -> str:
    """Why a choice without a text is no answer: it calls a tool. Empty if it is one."""
    said = _object(choice.get("delta")) | _object(choice.get("message"))
    calls = said.get("tool_calls") or said.get("function_call")
    return _CALLS if calls and not _text(choice) else ""


def _thinks(choice: dict[str, Any]) -> bool:
    """Whether the server returns thoughts apart from the answer; servers use two names for them."""
    for said in (_object(choice.get("delta")), _object(choice.get("message"))):
        if any(
            isinstance(said.get(name), str) and said[name].strip()
            for name in ("reasoning", "reasoning_content")
        ):
            return True
    return False


def _text_of_part(part: Any) -> str:
    text = part if isinstance(part, str) else _object(part).get("text")
    return text if isinstance(text, str) else ""


def _reason(said: Any) -> str:
    """The finish reason in this project's terms; the server's own word only where this is not an
    answer."""
    if said is None or said == "":
        return ""
    reason = str(said).lower()
    if reason in _CUT:
        return "length"
    return reason if reason in _NO_ANSWER else "stop"


def _count(said: Any, otherwise: int) -> int:
    """A number of tokens, if the server sends one; else ``otherwise``."""
    if isinstance(said, bool):
        return otherwise
    try:
        number = float(said)
    except (TypeError, ValueError, OverflowError):
        return otherwise
    return int(number) if 0 <= number <= _LARGEST_COUNT else otherwise


def _token_ids(said: Any) -> list[int]:
    if not isinstance(said, list) or not all(
        type(number) is int and 0 <= number <= _LARGEST_COUNT for number in said
    ):
        return []
    return said


def _answer_of(text: str) -> str:
    """The text without surrounding whitespace and without the end token, which some servers leave
    in it.

    A character beyond 16 bits that arrives as two halves is joined. A single half becomes U+FFFD,
    since no file can hold it.
    """
    if not text.isascii():
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = final_part(text).strip()
    for stop in _STOPS:
        text = text.removesuffix(stop)
    return text.strip()


def _logprobs(said: Any) -> list[dict[int, float]]:
    """For each position, the log-probabilities of the chosen and of the likeliest tokens, by id."""
    positions = _object(said).get("content")
    return (
        [_position(at) for at in positions if isinstance(at, dict)]
        if isinstance(positions, list)
        else []
    )


def _position(at: dict[str, Any]) -> dict[int, float]:
    likeliest = at.get("top_logprobs")
    entries = [*(likeliest if isinstance(likeliest, list) else ()), at]
    known = [
        (entry.get("token"), _number(entry.get("logprob")))
        for entry in entries
        if isinstance(entry, dict)
    ]
    return {
        _token_id(token): number
        for token, number in known
        if token is not None and number is not None
    }


def _number(said: Any) -> float | None:
    try:
        number = float(said)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if math.isnan(number) else number


def _token_id(token: Any) -> int:
    name, _, number = str(token).partition(":")
    if name != "token_id" or not (number.isascii() and number.isdigit()):
        shown = repr(token).encode("utf-8", "replace").decode()[:80]
        raise ConfigurationError(
            f"{keyword('logprobs')}: the server names tokens by their text, such as {shown}, which"
            " does not tell them apart. Use a server that knows return_tokens_as_token_ids, as"
            " vLLM's does, or leave the option out."
        )
    return int(number)
