"""An engine for any OpenAI-compatible server: `internvl_ops.serve`, vLLM's own, LMDeploy's,
SGLang's.

The server renders and tiles. Requests carry fields besides OpenAI's own; servers ignore the ones
they do not know.
"""

from __future__ import annotations

import asyncio
import base64
import difflib
import functools
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

from internvl_ops.engines import answers
from internvl_ops.engines.base import (
    Chat,
    Completion,
    EngineDead,
    Request,
    Sampling,
    Watch,
    context_exceeded,
)
from internvl_ops.engines.endpoint import Endpoint, Patience, UnreadableStream, api_key
from internvl_ops.engines.served_candidates import (
    FirstTokens,
    NoLogProbs,
    first_tokens,
    likelihoods,
)
from internvl_ops.errors import ConfigurationError, UnitError, keyword
from internvl_ops.events import say_step
from internvl_ops.models.prompts.rendering import TAG

logger = logging.getLogger(__name__)

CHAT = "/chat/completions"
MOST_TOKENS = 20  # of the likeliest that servers report
_SHOWN_MODELS = 12  # in a message
_KINDS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"RIFF": "webp"}


class OpenAIEngine:
    """An endpoint. The key is read from the environment variable OPENAI_API_KEY, if that is set.

    Args:
        base_url: The server's address, including ``/v1``.
        model: The server's name of the model; may be empty if it serves only one.
        concurrency: Maximum number of simultaneous requests.
        patience: How long to wait for the server.
        streams: Whether a watched answer is streamed; if not, the watch sees it only when it is
            complete.
        send_max_tiles: Whether requests name their maximum number of tiles.
        extra_body: Fields added to each request.
        context_length: Maximum length of prompt and answer together, in tokens, of the served
            checkpoint, if known here. A server may accept more than the checkpoint was trained for;
            such answers are refused here.
    """

    def __init__(
        self,
        base_url: str,
        model: str = "",
        *,
        concurrency: int = 64,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        streams: bool = True,
        send_max_tiles: bool = True,
        extra_body: dict[str, Any] | None = None,
        context_length: int | None = None,
    ) -> None:
        self.dead = False
        self._base_url, self._model, self._concurrency, self._patience = (
            base_url,
            model,
            concurrency,
            patience,
        )
        self._streams, self._send_max_tiles, self._extra_body = (
            streams,
            send_max_tiles,
            dict(extra_body or {}),
        )
        self._context_length = context_length
        self._endpoint: Endpoint | None = None
        self._is_vllm = False
        self._reports_log_probs = False

    async def start(self) -> None:
        """Waits until the server answers.

        Raises:
            ConfigurationError: The server refuses the key, or does not serve the model.
            EngineDead: The server is away for longer than the patience allows.
        """
        if self._endpoint is not None:
            return
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        say_step(logger, "waiting for the server")
        endpoint = Endpoint(self._base_url, api_key(), self._patience, self._concurrency)
        try:
            served = {model["id"]: model for model in (await endpoint.get("/models"))["data"]}
            if not self._model and len(served) == 1:
                self._model = next(iter(served))
            if self._model not in served:
                raise ConfigurationError(_not_served(self._model, endpoint.name, list(served)))
        except (KeyError, TypeError, UnitError) as error:
            await endpoint.close()
            raise ConfigurationError(
                f"{keyword('base_url', endpoint.name)}: its /models gives no list of models"
                f" ({error}). Name an OpenAI-compatible server, its address up to and with /v1."
            ) from error
        except BaseException:
            await endpoint.close()
            raise
        self._is_vllm = served[self._model].get("owned_by") == "vllm"
        self._endpoint = endpoint

    async def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Completion:
        """The answer to one request. Cancelling the task closes its connection, which ends the
        request on the server.

        Raises:
            UnitError: ``prompt_too_long``, ``timeout``, or ``engine_failed`` for this request
                alone.
            ConfigurationError: The server refuses every request of this kind.
            EngineDead: The server is away for longer than the patience allows.
        """
        endpoint, chat = self._endpoint, request.chat
        if endpoint is None:
            raise EngineDead("the engine is not running: call start() first.")
        if chat is None:
            raise UnitError(
                "generate", "engine_failed", "a rendered prompt for an engine that renders itself."
            )
        body = self._body(chat, sampling)
        completion = await self._completion(
            endpoint,
            body,
            watch if self._streams else None,
            log_probs=sampling.logprobs is not None,
        )
        if completion.finish_reason not in ("stop", "length", "watch"):
            message = f"{endpoint.name} ended the answer with {completion.finish_reason!r}."
            raise UnitError("generate", "engine_failed", message)
        tokens = completion.prompt_tokens + completion.completion_tokens
        if self._context_length is not None and tokens > self._context_length:
            mend = (
                f"The server took it, and {completion.completion_tokens} tokens of answer, which"
                " are not kept: the checkpoint was trained for no more. Lower"
                f" {keyword('max_tiles')} or {keyword('max_new_tokens')}, or shorten the question;"
                f" max_model_len in {keyword('engine_args')} sets another limit."
            )
            raise context_exceeded(completion.prompt_tokens, self._context_length, mend)
        if sampling.candidates:
            completion.candidates = await self._candidates(endpoint, chat, sampling)
        return completion

    async def _candidates(self, endpoint: Endpoint, chat: Chat, sampling: Sampling) -> list[float]:
        """Costs a request of one token, and one more for each token that several candidates begin
        with."""
        plain = Sampling(1, stop_token_ids=sampling.stop_token_ids)

        async def tokens_after(said: str) -> FirstTokens:
            body = self._body(chat, plain) | {"logprobs": True, "top_logprobs": MOST_TOKENS}
            if said:
                body["messages"] = [*body["messages"], {"role": "assistant", "content": said}]
                body |= {"continue_final_message": True, "add_generation_prompt": False}
            try:
                found = await endpoint.post(CHAT, body, first_tokens)
            except NoLogProbs:
                if not self._reports_log_probs:
                    raise
                raise UnitError(
                    "generate",
                    "engine_failed",
                    f"{endpoint.name} reports no top_logprobs of this answer, as it does of others",
                ) from None
            self._reports_log_probs = True
            return found

        return await likelihoods(sampling.candidates, tokens_after, continues=self._is_vllm)

    async def _completion(
        self, endpoint: Endpoint, body: dict[str, Any], watch: Watch | None, *, log_probs: bool
    ) -> Completion:
        whole = functools.partial(answers.completion, log_probs=log_probs)
        if watch is None:
            return await endpoint.post(CHAT, body, whole)
        streamed = body | {
            "stream": True,
            "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        }
        try:
            return await endpoint.stream(
                CHAT, streamed, lambda parts: answers.watched(parts, watch, log_probs=log_probs)
            )
        except UnreadableStream as unreadable:
            try:
                return await endpoint.post(CHAT, body, whole)
            except UnitError:
                raise unreadable from None

    async def close(self) -> None:
        """Like `shutdown`, but awaitable: when it returns, every connection is closed."""
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            await endpoint.close()

    def shutdown(self) -> None:
        """Closes the connections; safe to call again. The server keeps running."""
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is None:
            return
        closed = asyncio.run_coroutine_threadsafe(endpoint.close(), self._loop)
        if threading.get_ident() != self._thread:
            closed.result(timeout=10)

    def _body(self, chat: Chat, sampling: Sampling) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": self._messages(chat),
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "skip_special_tokens": False,  # boxes and their labels are written with special tokens
        }
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        if sampling.top_k:  # servers of this kind know it, but not OpenAI's own
            body["top_k"] = sampling.top_k
        if sampling.repetition_penalty != 1:
            body["repetition_penalty"] = sampling.repetition_penalty
        if sampling.stop_token_ids:
            body["stop_token_ids"] = list(sampling.stop_token_ids)
        if sampling.ignore_stop:
            body["ignore_eos"] = True
        if sampling.logprobs is not None:
            body |= {
                "logprobs": True,
                "top_logprobs": sampling.logprobs,
                "return_tokens_as_token_ids": True,
            }
        if sampling.json_schema is not None:
            schema = {"name": "answer", "schema": json.loads(sampling.json_schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if sampling.choices:
            body["structured_outputs"] = {"choice": list(sampling.choices)}
        if self._is_vllm:
            body["return_token_ids"] = True
            if sampling.min_new_tokens:  # other servers refuse the field, or name it differently
                body["min_tokens"] = sampling.min_new_tokens
            if chat.pictures and self._tiles(chat):
                body["mm_processor_kwargs"] = {"max_dynamic_patch": chat.max_tiles}
        return body | self._extra_body

    def _tiles(self, chat: Chat) -> int | None:
        return chat.max_tiles if self._send_max_tiles else None

    def _messages(self, chat: Chat) -> list[dict[str, Any]]:
        pictures = iter(chat.pictures)
        messages: list[dict[str, Any]] = []
        if chat.system_message is not None:
            messages.append({"role": "system", "content": chat.system_message})
        tags = sum(
            question.count(TAG)
            for question in (*(asked for asked, _ in chat.history), chat.question)
        )
        if tags != len(chat.pictures):
            message = (
                f"the prompt has {tags} {TAG} tags for {len(chat.pictures)} pictures. Write one tag"
                " a picture."
            )
            raise UnitError("render", "bad_row", message)
        for asked, answered in chat.history:
            messages.append({"role": "user", "content": self._content(asked, pictures, chat)})
            messages.append({"role": "assistant", "content": answered})
        return [
            *messages,
            {"role": "user", "content": self._content(chat.question, pictures, chat)},
        ]

    def _content(
        self, question: str, pictures: Iterator[bytes | str], chat: Chat
    ) -> str | list[dict[str, Any]]:
        """A question in parts, its pictures between the texts around them.

        A single picture at the start is sent without the line break after it, since servers add
        one. Otherwise there are at least two texts: from that, the template of `internvl_ops.serve`
        detects that the places matter.
        """
        texts = question.split(TAG)
        if len(texts) == 1:
            return question
        if len(texts) == 2 and not texts[0]:
            return [
                self._picture(next(pictures), chat),
                {"type": "text", "text": texts[1].removeprefix("\n")},
            ]
        parts: list[dict[str, Any]] = [{"type": "text", "text": texts[0]}]
        for text in texts[1:]:
            parts += [self._picture(next(pictures), chat), {"type": "text", "text": text}]
        empty = {"type": "text", "text": ""}
        kept = [part for part in parts if part != empty]
        return kept if sum(part["type"] == "text" for part in kept) > 1 else parts

    def _picture(self, picture: bytes | str, chat: Chat) -> dict[str, Any]:
        url = picture if isinstance(picture, str) else _data_url(picture)
        image: dict[str, Any] = {"url": url}
        if self._tiles(chat) and not self._is_vllm:
            image["max_dynamic_patch"] = chat.max_tiles  # the field that LMDeploy and SGLang use
        return {"type": "image_url", "image_url": image}


async def check_served(base_url: str, model: str, *, patience_s: float = 5.0) -> str | None:
    """Checks once, before anything starts, whether an endpoint serves the model.

    Returns:
        Why it does not answer yet, if it may still be starting; None if it serves the model.

    Raises:
        ConfigurationError: As in `OpenAIEngine.start`.
    """
    engine = OpenAIEngine(
        base_url, model, patience=Patience(away_s=0, answer_s=patience_s, attempts=1)
    )
    try:
        await asyncio.wait_for(engine.start(), 2 * patience_s)
    except (EngineDead, TimeoutError) as error:
        return str(error).partition(". ")[0] or "it does not answer"
    finally:
        await engine.close()
    return None


def _not_served(model: str, server: str, served: list[str]) -> str:
    near = difflib.get_close_matches(model, served, 1, 0.6) or [
        name
        for name in served
        if name.rpartition("/")[2].lower() == model.rpartition("/")[2].lower()
    ]
    meant = f" Did you mean {keyword('model', near[0])}?" if near else ""
    names = [str(name) for name in served]
    there = ", ".join(names[:_SHOWN_MODELS]) or "no model"
    if len(names) > _SHOWN_MODELS:
        there += f" and {len(names) - _SHOWN_MODELS} others"
    if not model:
        return f"{keyword('model')} names none of the models that {server} serves: {there}."
    return f"{keyword('model', model)}: {server} does not serve it. It serves {there}.{meant}"


def _data_url(picture: bytes) -> str:
    kind = next((kind for start, kind in _KINDS.items() if picture.startswith(start)), None)
    if kind is None:
        raise UnitError(
            "generate", "unsupported", "a picture that is no PNG, JPEG or WebP. Convert it first."
        )
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
