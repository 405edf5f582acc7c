"""Tokenizers published as a SentencePiece model, read without the Python code beside it.

InternLM2's repositories have a ``tokenizer.model`` and their own class to read it; Yi's and Phi-3's
use the class LlamaTokenizer. The model cards load the slow variant of each (``use_fast=False``).
This module does what those classes do around SentencePiece, so that the ids are the same: it first
splits off added tokens, then passes each piece of text between them to SentencePiece.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from internvl_ops.models.checkpoints.json_files import read_json
from internvl_ops.models.tokenizers.seams import SEAM, is_mark

# Classes whose slow tokenizer changes the text in no other way; Llama's too, unless its `legacy` is
# false.
PLAIN_CLASSES = {"InternLM2Tokenizer", "InternLM2TokenizerFast", "InternLM3Tokenizer"}
LLAMA_CLASSES = {"LlamaTokenizer", "LlamaTokenizerFast"}

ROLES = ("bos_token", "eos_token", "unk_token", "pad_token")
SPACE = "▁"  # how SentencePiece writes a blank


@dataclass(frozen=True)
class AddedToken:
    """A token that SentencePiece does not handle. With `lstrip` or `rstrip` it removes the spaces
    on that side."""

    id: int
    special: bool = True
    lstrip: bool = False
    rstrip: bool = False


def is_sentencepiece(folder: Path, tokenizer_config: dict[str, Any]) -> bool:
    """Whether this module reads the checkpoint's tokenizer."""
    return (folder / "tokenizer.model").is_file() and tokenizer_config.get(
        "tokenizer_class"
    ) in PLAIN_CLASSES | LLAMA_CLASSES


class SentencePieceTokenizer:
    """A checkpoint's ``tokenizer.model`` with its added tokens.

    Args:
        folder: Has ``tokenizer.model`` and ``tokenizer_config.json``; older ones list their added
            tokens in ``added_tokens.json`` and ``special_tokens_map.json``.
        config: The contents of ``tokenizer_config.json``.

    Raises:
        OSError, RuntimeError, ValueError: The files are damaged.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        from sentencepiece import SentencePieceProcessor

        self._text = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        self._legacy = (
            config.get("tokenizer_class") in PLAIN_CLASSES or config.get("legacy") is not False
        )
        if not self._legacy:
            self._text = _without_dummy_prefix(self._text)
        self._prefix_blank = not self._legacy and config.get("add_prefix_space") is not False
        map_path = folder / "special_tokens_map.json"
        config = (read_json(map_path) if map_path.is_file() else {}) | config
        named = {role: _content(config[role]) for role in ROLES if config.get(role)}
        self._special = {
            *named.values(),
            *(_content(token) for token in config.get("additional_special_tokens") or []),
        }
        self._added = _added_tokens(folder, config, self._special)
        for token in named.values():
            if token not in self._added:
                self._added[token] = AddedToken(self._text.piece_to_id(token))
        self._by_id = {token.id: (content, token.special) for content, token in self._added.items()}
        self._splitter = _splitter(self._added)
        self._before = self._ends(config, named, "bos", default=True)
        self._after = self._ends(config, named, "eos", default=False)
        self._unknown = named.get("unk_token", "<unk>")

    @property
    def added(self) -> list[str]:
        """Texts that become one of the added tokens.

        SentencePiece may have reserved pieces with other names for them: ``[UNUSED_TOKEN_145]``.
        """
        size = self._text.get_piece_size()
        names = [
            self._text.id_to_piece(token.id) for token in self._added.values() if token.id < size
        ]
        own = [
            content for content, token in self._added.items() if token.special or is_mark(content)
        ]
        return list(dict.fromkeys([*own, *filter(is_mark, names)]))

    def encode(self, text: str, start: bool = True) -> list[int]:
        """Ids of `text`; with `start`, including the checkpoint's own tokens at the beginning and
        the end."""
        ids = [*self._before] if start else []
        pieces = self._splitter.split(self._prepare(text))
        for place, piece in enumerate(pieces):
            if place % 2:  # re.split alternates between the rest and what the group matched
                ids.append(self._added[piece.strip() if piece not in self._added else piece].id)
            elif piece and not (place == 0 and self._is_prefix_alone(piece, pieces)):
                ids += self._encode_run(piece)
        return ids + self._after if start else ids

    def decode(self, ids: list[int], keep_special: bool) -> str:
        """Text of `ids`, with or without special tokens."""
        parts: list[str] = []
        run: list[int] = []
        for token in ids:
            added = self._by_id.get(token)
            if added is None:
                run.append(token)
                continue
            content, special = added
            parts.append(self._text.decode(run))
            run = []
            if keep_special or not special:
                parts.append(content)
        return "".join([*parts, self._text.decode(run)])

    def token_id(self, token: str) -> int | None:
        """Id of one token by its exact text."""
        if token in self._added:
            return self._added[token].id
        found = self._text.piece_to_id(token)
        return found if self._text.id_to_piece(found) == token else None

    def _prepare(self, text: str) -> str:
        if self._legacy or not text:
            return text
        text = text.replace(SPACE, " ")
        return SPACE + text if self._prefix_blank else text

    def _is_prefix_alone(self, piece: str, pieces: list[str]) -> bool:
        """Whether the text before the first added token is only the space that `_prepare` put
        there.

        The published class removes it before a token that its files list as special, and keeps it
        before others.
        """
        return (
            self._prefix_blank
            and piece == SPACE
            and len(pieces) > 1
            and pieces[1].strip() in self._special
        )

    def _encode_run(self, text: str) -> list[int]:
        """Ids of text between added tokens. Seams go, unless SentencePiece has its own pieces for
        such tokens."""
        ids = self._encode_text(text.replace(SEAM, ""))
        if SEAM not in text or self._by_id.keys().isdisjoint(ids):
            return ids
        first, *others = text.split(SEAM)
        ids = self._encode_text(first)
        for part in others:
            ids += self._after_something(part)
        return ids

    def _after_something(self, text: str) -> list[int]:
        """Ids without the space that SentencePiece puts in front of a text."""
        before = self._text.encode(self._unknown)
        ids = self._text.encode(self._unknown + text)
        return ids[len(before) :] if ids[: len(before)] == before else self._encode_text(text)

    def _encode_text(self, text: str) -> list[int]:
        if self._legacy or not text.startswith((SPACE, " ")):
            return self._text.encode(text)
        # SentencePiece drops a space at the beginning, unless something precedes it.
        skipped = len(self._text.encode(self._unknown))
        return self._text.encode(self._unknown + text)[skipped:]

    def _ends(
        self, config: dict[str, Any], named: dict[str, str], which: str, *, default: bool
    ) -> list[int]:
        wanted = config.get(f"add_{which}_token")
        token = named.get(f"{which}_token")
        return [self._added[token].id] if token and (default if wanted is None else wanted) else []


def _without_dummy_prefix(processor: Any) -> Any:
    """The same model without the space before the text, which is the meaning of `legacy: false`."""
    from sentencepiece import SentencePieceProcessor
    from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]

    model = ModelProto.FromString(processor.serialized_model_proto())
    model.normalizer_spec.add_dummy_prefix = False
    return SentencePieceProcessor(model_proto=model.SerializeToString())


def _added_tokens(folder: Path, config: dict[str, Any], special: set[str]) -> dict[str, AddedToken]:
    if decoder := config.get("added_tokens_decoder"):
        return {
            str(entry["content"]): AddedToken(
                int(token_id),
                bool(entry.get("special")) or entry["content"] in special,
                bool(entry.get("lstrip")),
                bool(entry.get("rstrip")),
            )
            for token_id, entry in decoder.items()
        }
    path = folder / "added_tokens.json"
    return {
        content: AddedToken(int(token_id), content in special)
        for content, token_id in (read_json(path) if path.is_file() else {}).items()
    }


def _content(token: str | dict[str, Any]) -> str:
    return token if isinstance(token, str) else str(token["content"])


def _splitter(added: dict[str, AddedToken]) -> re.Pattern[str]:
    """Finds added tokens, the longest of several matches, with the spaces that they remove."""
    if not added:
        return re.compile("(?!)")
    forms = [
        (r"\s*" if added[content].lstrip else "")
        + re.escape(content)
        + (r"\s*" if added[content].rstrip else "")
        for content in sorted(added, key=len, reverse=True)
    ]
    return re.compile(f"({'|'.join(forms)})")
