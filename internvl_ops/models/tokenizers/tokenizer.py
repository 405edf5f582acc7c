"""A checkpoint's tokenizer: text to ids, ids to text, and the ids that rendering and generation
use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from internvl_ops.errors import ConfigurationError, keyword
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.checkpoints.json_files import read_json
from internvl_ops.models.templates.conversation_template import CHANNEL, FINAL, MESSAGE, TEMPLATES
from internvl_ops.models.tokenizers.seams import GROUNDING_TOKENS, SEAM, Seams, is_mark
from internvl_ops.models.tokenizers.sentencepiece_tokenizer import (
    SentencePieceTokenizer,
    is_sentencepiece,
)

IMAGE_START, IMAGE_CONTEXT, IMAGE_END = "<img>", "<IMG_CONTEXT>", "</img>"

THINKS_IN_CHANNELS = "internvl3_5_gpt_oss"  # template

# For these classes, tokenizer.json is complete. transformers changes others on load, so it has to
# load them.
SELF_CONTAINED = {
    "PreTrainedTokenizerFast",
    "TokenizersBackend",
    "Qwen2Tokenizer",
    "Qwen2TokenizerFast",
}


class Tokenizer:
    """Loads a checkpoint's tokenizer once; takes a few milliseconds if tokenizer.json is enough.

    Args:
        checkpoint: The checkpoint.
        trust_remote_code: Whether a tokenizer class that comes as code with the checkpoint may run.

    Raises:
        ConfigurationError: The tokenizer cannot be loaded, or lacks a token that the family needs.
    """

    def __init__(self, checkpoint: Checkpoint, *, trust_remote_code: bool = False) -> None:
        self._model = checkpoint.model
        folder = checkpoint.folder()
        self._backend = _load(folder, checkpoint.model, trust_remote_code)
        self.image_start_id = self.token_id(IMAGE_START)
        self.image_context_id = self.token_id(IMAGE_CONTEXT)
        self.image_end_id = self.token_id(IMAGE_END)
        self._seams = Seams(self._backend.added)
        kept = {*GROUNDING_TOKENS, IMAGE_START, IMAGE_CONTEXT, IMAGE_END}
        ids = (self._backend.token_id(token) for token in self._backend.added if token not in kept)
        self.control_ids = np.array(sorted({found for found in ids if found is not None}), np.int32)
        thinks = checkpoint.template == THINKS_IN_CHANNELS
        channels = [
            self._backend.token_id(token) if thinks else None for token in (CHANNEL, MESSAGE)
        ]
        self._channels = [None, None] if None in channels else channels
        self.stop_ids = self._stop_ids(folder, TEMPLATES[checkpoint.template].stop)

    def encode(self, text: str, *, start: bool = True) -> np.ndarray:
        """Ids of `text`, in which special tokens are recognised.

        Args:
            text: Any text.
            start: Whether it starts a prompt; it then gets a beginning token if the checkpoint uses
                one.

        Returns:
            int32, shape (tokens,).
        """
        if SEAM not in text or self._backend.takes_seams:
            return np.asarray(self._backend.encode(text, start), dtype=np.int32)
        # A token that no longer occurs in the text works as a seam for every tokenizer.
        ids = np.asarray(self._backend.encode(text.replace(SEAM, IMAGE_END), start), dtype=np.int32)
        ends_an_image = np.append(False, ids[:-1] == self.image_context_id)
        return ids[(ids != self.image_end_id) | ends_an_image]

    def literal(self, text: str) -> str:
        """`text` for `encode`, in which only the marks of boxes and their labels are recognised.

        Otherwise a row's text could end its own turn, speak as the model, or refer to an image that
        does not exist.
        """
        return self._seams.put(text)

    def decode(self, token_ids: Sequence[int], *, keep_special: bool = False) -> str:
        """The answer's text, without the token that ended it and without surrounding whitespace.

        Args:
            token_ids: The generated ids.
            keep_special: Keep ``<ref>``, ``<box>`` and the like, which are all special tokens.
                Grounding needs them; other tasks do not.
        """
        ids = [int(token) for token in token_ids]
        end = next((index for index, token in enumerate(ids) if token in self.stop_ids), len(ids))
        begin, end = self._final(ids[:end])
        return self._backend.decode(ids[begin:end], keep_special).strip()

    def header(self, token_ids: Sequence[int]) -> list[int]:
        """The ids of an answer before the part for the reader; empty if the checkpoint does not
        split its answers."""
        return list(token_ids[: self._final(token_ids)[0]])

    def leaves_out(self, token_ids: Sequence[int]) -> bool:
        """Whether an answer has other parts than the one for the reader, such as the model's
        thoughts."""
        places = [place for place, token in enumerate(token_ids) if token == self._channels[0]]
        return bool(places) and places[0] != self._place_of_final(token_ids)

    def _final(self, ids: Sequence[int]) -> tuple[int, int]:
        """The place of the part for the reader, like `conversation.final_part`, for text without
        special tokens."""
        if self._channels[0] not in ids:
            return 0, len(ids)
        place = self._place_of_final(ids)
        if place is None:
            return 0, 0
        begin = self._message_after(ids, place) + 1
        controls = set(self.control_ids.tolist())
        return begin, next((at for at in range(begin, len(ids)) if ids[at] in controls), len(ids))

    def _place_of_final(self, ids: Sequence[int]) -> int | None:
        """The place of the last channel for the reader."""
        channel, _ = self._channels
        for place in (at for at in reversed(range(len(ids))) if ids[at] == channel):
            name = self._backend.decode(
                [int(one) for one in ids[place + 1 : self._message_after(ids, place)]], False
            )
            if name.strip().startswith(FINAL):
                return place
        return None

    def _message_after(self, ids: Sequence[int], place: int) -> int:
        message = self._channels[1]
        return next((at for at in range(place, len(ids)) if ids[at] == message), len(ids))

    def token_id(self, token: str) -> int:
        """The id of one token by its exact text; ConfigurationError if the tokenizer has no such
        token."""
        found = self._backend.token_id(token)
        if found is None:
            raise ConfigurationError(
                f"{keyword('model', self._model)}: the tokenizer has no token {token!r}, which this"
                " checkpoint's prompts need. The tokenizer files are those of another model or"
                " incomplete; download them again."
            )
        return found

    def _stop_ids(self, folder: Path, stop: Sequence[str]) -> frozenset[int]:
        """Tokens that end an answer: the template's own, and those in the checkpoint's configs."""
        ids = {self.token_id(token) for token in stop}
        if self._channels[0] is not None:  # its config also names the ends of other parts
            return frozenset(ids)
        for config in (
            _read(folder / "generation_config.json"),
            _language(_read(folder / "config.json")),
        ):
            named = config.get("eos_token_id")
            ids.update([named] if isinstance(named, int) else named or [])
        return frozenset(ids)


def _language(config: dict[str, Any]) -> dict[str, Any]:
    return config.get("llm_config") or config.get("text_config") or {}


class _Backend:
    """The three calls that differ between tokenizer libraries, and the tokens that text can
    spell."""

    def __init__(
        self,
        encode: Callable[[str, bool], list[int]],
        decode: Callable[[list[int], bool], str],
        token_id: Callable[[str], int | None],
        added: Iterable[str],
        *,
        takes_seams: bool = False,
    ) -> None:
        self.encode, self.decode, self.token_id = encode, decode, token_id
        self.added, self.takes_seams = list(added), takes_seams


def _load(folder: Path, model: str, trust_remote_code: bool) -> _Backend:
    try:
        config = _read(folder / "tokenizer_config.json")
        if is_sentencepiece(folder, config):
            pieces = SentencePieceTokenizer(folder, config)
            return _Backend(
                pieces.encode, pieces.decode, pieces.token_id, pieces.added, takes_seams=True
            )
        if (folder / "tokenizer.json").is_file() and config.get(
            "tokenizer_class"
        ) in SELF_CONTAINED:
            return _from_json(folder / "tokenizer.json")
        return _from_transformers(folder, trust_remote_code)
    except Exception as error:  # the libraries raise bare Exception for a damaged file
        raise ConfigurationError(
            f"{keyword('model', model)}: the tokenizer does not load: {type(error).__name__}:"
            f" {error}. Download its files again; if the checkpoint brings its tokenizer as code,"
            f" add {keyword('trust_remote_code')}."
        ) from error


def _read(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _from_json(path: Path) -> _Backend:
    from tokenizers import Tokenizer as Rust

    rust = Rust.from_file(str(path))
    return _Backend(
        encode=lambda text, start: rust.encode(text, add_special_tokens=start).ids,
        decode=lambda ids, keep_special: rust.decode(ids, skip_special_tokens=not keep_special),
        token_id=rust.token_to_id,
        added=_marks(rust.get_added_tokens_decoder().values()),
    )


def _from_transformers(folder: Path, trust_remote_code: bool) -> _Backend:
    # takes four seconds: only where tokenizer.json is not enough
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    vocabulary = loaded.get_vocab()
    return _Backend(
        encode=lambda text, start: loaded.encode(text, add_special_tokens=start),
        decode=lambda ids, keep_special: str(
            loaded.decode(ids, skip_special_tokens=not keep_special)
        ),
        token_id=vocabulary.get,
        added={*_marks(loaded.added_tokens_decoder.values()), *loaded.all_special_tokens},
    )


def _marks(tokens: Iterable[Any]) -> list[str]:
    return [token.content for token in tokens if token.special or is_mark(token.content)]
