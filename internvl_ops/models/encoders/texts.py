"""Texts as token ids: for InternVL-C and InternVL-G by the settings on the model card, for other
encoders by their own tokenizer."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from internvl_ops.errors import ConfigurationError, keyword
from internvl_ops.models.checkpoints.json_files import read_json
from internvl_ops.models.encoders.config import Encoder
from internvl_ops.models.tokenizers.seams import Seams
from internvl_ops.models.tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer

PREFIX = "summarize:"  # before every text
LONGEST = 80  # tokens of a text, the begin and the end token included


class TokenizesTexts(Protocol):
    """Makes the token ids of texts."""

    longest: int

    def encode(self, text: str, *, prefix: str = ...) -> tuple[np.ndarray, bool]:
        """Token ids of a text, int32 of shape (tokens,), and whether it was cut to fit."""


def text_tokenizer(encoder: Encoder, longest: int | None = None) -> TokenizesTexts:
    """The tokenizer of an encoder.

    Args:
        encoder: A checkpoint with a text encoder.
        longest: Tokens of a text at most, where its own limit is not to be used; InternVL-14B-224px
            always has its own.

    Raises:
        ConfigurationError: Its tokenizer cannot be read.
    """
    if encoder.layout == "text":
        return PublishedTokenizer(encoder, longest)
    return TextTokenizer(encoder)


class PublishedTokenizer:
    """Makes token ids by a checkpoint's ``tokenizer.json``, with the tokens that it puts around a
    text. Special tokens in a text are plain text.

    Args:
        encoder: An encoder of texts alone.
        longest: Tokens of a text, its marks included; None is the checkpoint's own limit.

    Raises:
        ConfigurationError: The file cannot be read.
    """

    def __init__(self, encoder: Encoder, longest: int | None = None) -> None:
        from tokenizers import Tokenizer

        self.longest = longest or encoder.longest
        path = encoder.folder() / "tokenizer.json"
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise ConfigurationError(
                f"{keyword('model', encoder.model)}: its tokenizer cannot be read: {error}."
                " Download tokenizer.json again."
            ) from error
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.longest)

    def encode(self, text: str, *, prefix: str = "") -> tuple[np.ndarray, bool]:
        """Token ids of a text.

        Args:
            text: The text.
            prefix: Stands before it.

        Returns:
            int32 of shape (tokens,), at most `longest`; and whether the text was cut to fit.
        """
        found = self._tokenizer.encode(prefix + text)
        return np.array(found.ids, np.int32), bool(found.overflowing)


class TextTokenizer:
    """Makes the token ids of texts. Special tokens in a text are plain text.

    Args:
        encoder: A checkpoint with a text encoder.

    Raises:
        ConfigurationError: It has none, or its tokenizer cannot be read.
    """

    longest = LONGEST

    def __init__(self, encoder: Encoder) -> None:
        if not encoder.reads_texts:
            raise ConfigurationError(
                f"{keyword('model', encoder.model)} has no text encoder. Use"
                " OpenGVLab/InternVL-14B-224px for texts."
            )
        folder = encoder.folder()
        try:
            config = read_json(folder / "tokenizer_config.json")
            self._pieces = SentencePieceTokenizer(folder, config)
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigurationError(
                f"{keyword('model', encoder.model)}: its tokenizer cannot be read: {error}."
                " Download tokenizer.model and tokenizer_config.json again."
            ) from error
        self._seams = Seams(self._pieces.added)
        begin, end = (self._pieces.token_id(token) for token in ("<s>", "</s>"))
        if begin is None or end is None:
            raise ConfigurationError(
                f"{keyword('model', encoder.model)}: its tokenizer has no <s> or no </s>."
            )
        self._begin, self._end = begin, end

    def encode(self, text: str, *, prefix: str = PREFIX) -> tuple[np.ndarray, bool]:
        """Token ids of a text.

        Args:
            text: The text.
            prefix: Stands before it.

        Returns:
            int32 of shape (tokens,), at most `LONGEST`, the end token last; and whether the text
            was cut to fit.
        """
        ids = self._pieces.encode(prefix + self._seams.put(text), start=False)
        kept = ids[: LONGEST - 2]
        return np.array([self._begin, *kept, self._end], np.int32), len(kept) < len(ids)

    def prompt(self, text: str) -> np.ndarray:
        """Token ids of a prompt for a caption: no prefix, and no end token."""
        return np.array([self._begin, *self._pieces.encode(text, start=False)], np.int32)
