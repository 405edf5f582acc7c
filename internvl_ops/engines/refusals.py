"""What it means that a model server refuses a request: for this request, for all of them, or for a
while."""

from __future__ import annotations

import re
from dataclasses import dataclass

from internvl_ops.errors import ConfigurationError, UnitError, keyword

KEY_VARIABLE = "OPENAI_API_KEY"
_AWAY = frozenset({502, 503, 504})  # what a proxy returns while the server behind it is down
_BUSY = frozenset({408, 409, 425, 429})
# What providers say, with status 402, 403 or 429, to an account without money.
_NO_CREDIT = re.compile(
    r"insufficient[ _](?:quota|credits?|funds|balance)|billing_(?:hard_limit|not_active)"
    r"|exceeded your current quota|credit balance is too low",
    re.I,
)
TOO_LONG = re.compile(
    r"context length|context window|maximum.{0,20}(length|tokens)|too (long|many tokens)", re.I
)


class Again(Exception):
    """An attempt failed for a reason that may be temporary.

    Args:
        reason: Text for a message.
        away: Whether the server is away, rather than failing at this request.
        busy: Whether it is overloaded.
        slow: Whether it did not answer in time.
        wait_s: Seconds that it asks clients to wait.
        unreadable: Whether its stream is not a readable answer.
    """

    def __init__(
        self,
        reason: str,
        *,
        away: bool = False,
        busy: bool = False,
        slow: bool = False,
        wait_s: float = 0.0,
        unreadable: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason, self.away, self.busy, self.slow, self.wait_s = reason, away, busy, slow, wait_s
        self.unreadable = unreadable


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A response with a status that is not an answer.

    Args:
        status: HTTP status.
        words: What the server says, safe to show.
        code: Code and type of the error in OpenAI's form; empty if there is none.
        server: The server's address, safe to show.
        path: What it was asked for.
        wait_s: Seconds that it asks clients to wait.
        too_long: What to do about a prompt that is too long.
        alone: Whether status 403 is about this request: others with the same key have been
            answered.
    """

    status: int
    words: str
    code: str
    server: str
    path: str
    wait_s: float
    too_long: str
    alone: bool

    def error(self) -> Exception:
        """What to raise: `Again`, a `UnitError` of this request, or a `ConfigurationError` if every
        request would meet it."""
        status, words = self.status, self.words
        if status == 402 or (
            status in (403, 429) and _NO_CREDIT.search(f"{words} {self.code}") is not None
        ):
            return ConfigurationError(
                f"{self.server}: the account of the key has no credit left ({status}): {words}."
                " Add some, and run the job again: it goes on where it stopped."
            )
        if status in _AWAY or status in _BUSY:
            return Again(
                f"status {status}: {words}",
                away=status in _AWAY,
                busy=status in _BUSY,
                wait_s=self.wait_s,
            )
        if status >= 500:
            return Again(f"status {status}: {words}")
        return self._of_all_requests() or self._of_this_request()

    def _of_all_requests(self) -> ConfigurationError | None:
        status, words = self.status, self.words
        # Gateways and moderation refuse single requests with 403, too.
        if status == 401 or (status == 403 and not self.alone):
            return ConfigurationError(
                f"{self.server} refuses the key ({status}): {words}. Set {KEY_VARIABLE} where the"
                " engines run."
            )
        if status in (404, 405) or status < 400:
            return ConfigurationError(
                f"{self.server} has no {self.path} (status {status}): {words}."
                f" {keyword('base_url')} has to be its address up to and with /v1, and"
                f" {keyword('model')} a name that it serves."
            )
        if "mm_processor_kwargs" in words:
            as_started = keyword("engine_args", "'{\"send_max_tiles\": false}'")
            return ConfigurationError(
                f"{self.server} lets no request say how many tiles it wants: {words} Start the"
                f" server with {keyword('trust_request_mm_kwargs')}, as python -m"
                f" internvl_ops.serve does, or add {as_started} to take the tiles that it was"
                " started with."
            )
        return None

    def _of_this_request(self) -> UnitError:
        if TOO_LONG.search(self.words):
            return UnitError(
                "generate", "prompt_too_long", f"{self.server}: {self.words} {self.too_long}"
            )
        return UnitError(
            "generate",
            "engine_failed",
            f"{self.server} refuses the request ({self.status}): {self.words}",
        )
