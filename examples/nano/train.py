"""Trains nano-InternVL from scratch on what draw.py draws, and writes it in the published file
layout.

    python -m examples.nano.train see --steps 3000             # the vision model alone
    python -m examples.nano.train tell --steps 4000 --freeze   # the language model on top of it
    python -m examples.nano.train tell --steps 12000           # both
    python -m examples.nano.train export --out examples/nano/checkpoint

Each command resumes from --state where there is one. The picture tells more than the answer does:
as the script draws it, it knows which letters and shapes lie in each visual token's cell, and from
which cells each token of the answer follows. The first is asked of the projected visual tokens by
linear heads that are not part of the checkpoint, the second of two attention heads of the language
model. Without both, a model of this size learns little in hours.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import signal
import sys
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from examples.nano import draw
from internvl_ops.media.tiling import choose_grid, tile_image
from internvl_ops.models.checkpoints.config import load_checkpoint
from internvl_ops.models.prompts.rendering import Renderer
from internvl_ops.models.templates.conversation_template import TEMPLATES

TILE, PATCH, MAX_TILES = 112, 14, 6
SIDE = TILE // PATCH // 2  # visual tokens along a tile's side
CELL = TILE // SIDE  # pixels along a visual token's cell
TOKENS = SIDE * SIDE
CONTEXT = 4096
VISION = {"width": 192, "layers": 5, "heads": 3, "wide": 768}
LANGUAGE = {"width": 192, "layers": 5, "heads": 3, "wide": 512}
GUIDED = (2, 3)  # layers of the language model whose first attention head is told where to look
TEMPLATE = "internvl2_5"
MIXTURE = {
    "caption": 2,
    "count": 3,
    "question": 1,
    "ground": 3,
    "video": 2,
    "ocr": 12,
    "letters": 2,
}
SLOTS = 4  # letters told for one cell
IGNORED = -100

# Tokenizer, config: the files beside the weights.

QWEN_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
INTERNVL_TOKENS = [
    "<img>",
    "</img>",
    "<IMG_CONTEXT>",
    "<quad>",
    "</quad>",
    "<ref>",
    "</ref>",
    "<box>",
    "</box>",
]


def texts() -> Iterator[str]:
    """What is one token a word; anything else is one token a byte."""
    yield "system\n" + TEMPLATES[TEMPLATE].system_message + "\nuser\n assistant\n"
    yield from ("Frame1: \nFrame2: \n", "Image-1: \nImage-2: \n")
    yield from (draw.CAPTION, draw.FILM, draw.OCR, draw.GROUND.format("a"), draw.SHORT)
    yield "How many shapes are in the image? What color is the red? What shape is it?"
    yield "Which way does it move?"
    yield "What moves?"
    for name in [*draw.KINDS, *draw.COLOURS, *draw.DIRECTIONS]:
        yield f"{name} {name} {name}s a {name}es an {name} moves and {name}"
    for number in range(0, 1001, draw.STEP):
        yield f"[[{number}, {number}]]"


def build_tokenizer() -> Tokenizer:
    """Byte-level BPE without merges: a word of `texts` is one token, a letter of any other word is
    one."""
    split = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = sorted({word for text in texts() for word, _ in split.pre_tokenize_str(text)})
    vocabulary = dict.fromkeys([*QWEN_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet()), *words])
    tokenizer = Tokenizer(
        models.BPE(
            vocab={word: at for at, word in enumerate(vocabulary)}, merges=[], ignore_merges=True
        )
    )
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(QWEN_TOKENS + INTERNVL_TOKENS)
    return tokenizer


def write_files(out: Path) -> None:
    """Everything of the checkpoint but the weights."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer()
    tokenizer.save(str(out / "tokenizer.json"))
    special = {
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "additional_special_tokens": INTERNVL_TOKENS,
    }
    _write_json(out / "special_tokens_map.json", special)
    _write_json(
        out / "tokenizer_config.json",
        {**special, "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": CONTEXT},
    )
    eos = [tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")]
    _write_json(out / "generation_config.json", {"eos_token_id": eos, "do_sample": False})
    _write_json(out / "config.json", _config(tokenizer.get_vocab_size(), eos))


def _config(vocabulary: int, eos: list[int]) -> dict[str, Any]:
    return {
        "architectures": ["InternVLChatModel"],
        "model_type": "internvl_chat",
        "downsample_ratio": 0.5,
        "dynamic_image_size": True,
        "force_image_size": TILE,
        "max_dynamic_patch": MAX_TILES,
        "min_dynamic_patch": 1,
        "ps_version": "v2",
        "select_layer": -1,
        "template": TEMPLATE,
        "use_thumbnail": True,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "llm_config": {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "hidden_size": LANGUAGE["width"],
            "intermediate_size": LANGUAGE["wide"],
            "num_attention_heads": LANGUAGE["heads"],
            "num_key_value_heads": LANGUAGE["heads"],
            "num_hidden_layers": LANGUAGE["layers"],
            "vocab_size": vocabulary,
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "hidden_act": "silu",
            "tie_word_embeddings": True,
            "bos_token_id": eos[1],
            "eos_token_id": eos[0],
            "torch_dtype": "bfloat16",
        },
        "vision_config": {
            "architectures": ["InternVisionModel"],
            "model_type": "intern_vit_6b",
            "hidden_size": VISION["width"],
            "intermediate_size": VISION["wide"],
            "num_attention_heads": VISION["heads"],
            "num_hidden_layers": VISION["layers"],
            "image_size": TILE,
            "patch_size": PATCH,
            "num_channels": 3,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-6,
            "norm_type": "layer_norm",
            "qk_normalization": False,
            "qkv_bias": True,
            "use_flash_attn": False,
            "attention_dropout": 0.0,
            "dropout": 0.0,
            "drop_path_rate": 0.0,
            "initializer_factor": 1.0,
            "initializer_range": 0.02,
            "torch_dtype": "bfloat16",
        },
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


# The model, with the published names of its parts.


class VisionLayer(nn.Module):
    def __init__(self, width: int, heads: int, wide: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.ModuleDict(
            {"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)}
        )
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, wide), "fc2": nn.Linear(wide, width)})
        self.ls1, self.ls2 = nn.Parameter(torch.ones(width)), nn.Parameter(torch.ones(width))
        # keys like queries: patches attend to near and similar ones from the first step on
        with torch.no_grad():
            q, k, _ = self.attn["qkv"].weight.chunk(3)
            k.mul_(0.7).add_(q, alpha=0.7)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            self.attn["qkv"](self.norm1(x))
            .unflatten(-1, (3, self.heads, -1))
            .permute(2, 0, 3, 1, 4)
        )
        # Attention is written out: on CPUs torch's fused one is slow in its backward pass.
        attended = (q @ (k * k.shape[-1] ** -0.5).transpose(-1, -2)).softmax(-1) @ v
        x = x + self.attn["proj"](attended.transpose(1, 2).flatten(2)) * self.ls1
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x)))) * self.ls2


class VisionEmbeddings(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        side = TILE // PATCH
        self.class_embedding = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.patch_embedding = nn.Conv2d(3, width, PATCH, PATCH)
        frequencies = 0.5 * torch.arange(1, width // 4 + 1) / (width // 4) * math.pi
        angles = torch.arange(side)[:, None] * frequencies
        axis = torch.cat([angles.sin(), angles.cos()], 1)
        rows, columns = axis[:, None].expand(-1, side, -1), axis[None].expand(side, -1, -1)
        places = torch.cat([torch.zeros(1, width), torch.cat([rows, columns], -1).flatten(0, 1)])
        self.position_embedding = nn.Parameter(0.5 * places[None])

    def forward(self, pixels: Tensor) -> Tensor:
        # As a matrix product: quicker here than a convolution.
        patches = (
            pixels.unflatten(2, (-1, PATCH))
            .unflatten(4, (-1, PATCH))
            .permute(0, 2, 4, 1, 3, 5)
            .flatten(3)
        )
        x = F.linear(
            patches.flatten(1, 2), self.patch_embedding.weight.flatten(1), self.patch_embedding.bias
        )
        return (
            torch.cat([self.class_embedding.expand(len(x), -1, -1), x], 1) + self.position_embedding
        )


class RMSNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weight, 1e-6)


class LanguageLayer(nn.Module):
    def __init__(self, width: int, heads: int, wide: int) -> None:
        super().__init__()
        self.heads = heads
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(width), RMSNorm(width)
        self.self_attn = nn.ModuleDict({f"{name}_proj": nn.Linear(width, width) for name in "qkv"})
        self.self_attn["o_proj"] = nn.Linear(width, width, bias=False)
        self.mlp = nn.ModuleDict(
            {f"{name}_proj": nn.Linear(width, wide, bias=False) for name in ("gate", "up")}
        )
        self.mlp["down_proj"] = nn.Linear(wide, width, bias=False)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Also the first head's queries and keys, (batch, tokens, width of a head)."""
        normed = self.input_layernorm(x)
        q, k, v = (
            self.self_attn[f"{name}_proj"](normed).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for name in "qkv"
        )
        q, k = _rotate(q, turns), _rotate(k, turns)
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        scores = (q @ (k * k.shape[-1] ** -0.5).transpose(-1, -2)).masked_fill(later, -torch.inf)
        attended = scores.softmax(-1) @ v
        x = x + self.self_attn["o_proj"](attended.transpose(1, 2).flatten(2))
        normed = self.post_attention_layernorm(x)
        gate = F.silu(self.mlp["gate_proj"](normed)) * self.mlp["up_proj"](normed)
        return x + self.mlp["down_proj"](gate), q[:, 0], k[:, 0]


def _turns(tokens: int, width: int) -> tuple[Tensor, Tensor]:
    angles = torch.arange(tokens)[:, None] * 10000.0 ** (-torch.arange(width // 2) / (width // 2))
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = (part[: x.shape[2]].to(x.dtype) for part in turns)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class NanoInternVL(nn.Module):
    """InternViT, pixel shuffle, MLP and Qwen2, and the linear heads of training (`told`)."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        width = LANGUAGE["width"]
        self.vision_model = nn.ModuleDict({"embeddings": VisionEmbeddings(VISION["width"])})
        sizes = (VISION["width"], VISION["heads"], VISION["wide"])
        self.vision_model["encoder"] = nn.ModuleDict(
            {"layers": nn.ModuleList(VisionLayer(*sizes) for _ in range(VISION["layers"]))}
        )
        joined = 4 * VISION["width"]
        self.mlp1 = nn.Sequential(
            nn.LayerNorm(joined), nn.Linear(joined, width), nn.GELU(), nn.Linear(width, width)
        )
        sizes = (width, LANGUAGE["heads"], LANGUAGE["wide"])
        model = {
            "embed_tokens": nn.Embedding(vocabulary, width),
            "layers": nn.ModuleList(LanguageLayer(*sizes) for _ in range(LANGUAGE["layers"])),
            "norm": RMSNorm(width),
        }
        self.language_model = nn.ModuleDict({"model": nn.ModuleDict(model)})
        nn.init.normal_(model["embed_tokens"].weight, std=0.05)
        self.told = nn.ModuleDict(
            {
                "letters": nn.Linear(width, SLOTS * (1 + len(draw.LETTERS))),
                "kind": nn.Linear(width, 1 + len(draw.KINDS)),
                "colour": nn.Linear(width, 1 + len(draw.COLOURS)),
                "box": nn.Linear(width, 4 * 101),
            }
        )
        self.turns = _turns(CONTEXT, width // LANGUAGE["heads"])

    def see(self, tiles: Tensor) -> Tensor:
        """Visual tokens (tiles, TOKENS, width) of uint8 tiles (tiles, 3, TILE, TILE)."""
        dtype = self.mlp1[1].weight.dtype
        mean, std = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
        pixels = (tiles.float() * (1 / 255 / std)[:, None, None] - (mean / std)[:, None, None]).to(
            dtype
        )
        x = self.vision_model["embeddings"](pixels)
        for layer in self.vision_model["encoder"]["layers"]:
            x = layer(x)
        # pixel shuffle by 0.5, version 2
        grid = x[:, 1:].unflatten(1, (SIDE, 2, SIDE, 2)).transpose(2, 3)
        return self.mlp1(grid.flatten(3).flatten(1, 2))

    def tell(
        self, ids: Tensor, visual: Tensor, visual_at: Tensor
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Last hidden states (batch, tokens, width), and queries and keys of the guided heads.

        Args:
            ids: (batch, tokens).
            visual: (visual tokens of the whole batch, width).
            visual_at: Where they go, as positions in the flattened ids.
        """
        model = self.language_model["model"]
        x = model["embed_tokens"](ids)
        x = x.flatten(0, 1).index_put((visual_at,), visual).view_as(x)
        guided = []
        for index, layer in enumerate(model["layers"]):
            x, q, k = layer(x, self.turns)
            if index in GUIDED:
                guided.append((q, k))
        return model["norm"](x), guided

    def words(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.language_model["model"]["embed_tokens"].weight)


# From a sample to what the model is asked and told.


def tiles_of(sample: draw.Sample) -> list[np.ndarray]:
    """The tiles of each picture, cut by the project's own code."""
    most = MAX_TILES if len(sample.pictures) == 1 else 1
    return [
        tile_image(picture.pixels, tile_size=TILE, max_tiles=most) for picture in sample.pictures
    ]


class Told:
    """What lies in each cell of one picture's tiles.

    Args:
        letters: (tiles, TOKENS, SLOTS); 0 is none, IGNORED not asked.
        things: (tiles, TOKENS, 6): kind, colour (0 is none), and the box in hundredths of the tile.
        cells: For each mark, the visual token it is looked up in, counted from the picture's first.
    """

    def __init__(self, picture: draw.Picture, most: int) -> None:
        height, width = picture.pixels.shape[:2]
        grid = choose_grid(width, height, max_tiles=most, tile_size=TILE)
        grids = [grid] if grid == (1, 1) else [grid, (1, 1)]
        count = sum(columns * rows for columns, rows in grids)
        self.letters = np.zeros((count, TOKENS, SLOTS), np.int64)
        self.things = np.zeros((count, TOKENS, 6), np.int64)
        self.things[..., 2:] = IGNORED
        self.cells: dict[tuple[str, int], int] = {}
        first = 0
        for columns, rows in grids:
            scale = (columns * TILE / width, rows * TILE / height)
            self._write(picture, columns, first, scale)
            self._lay(picture, columns, rows, first, scale)
            first += columns * rows

    def _write(
        self, picture: draw.Picture, columns: int, first: int, scale: tuple[float, float]
    ) -> None:
        slots: dict[tuple[int, int], list[int]] = {}
        for index, glyph in enumerate(picture.glyphs):
            x, y = glyph.x * scale[0], glyph.y * scale[1]
            tile = first + int(y // TILE) * columns + int(x // TILE)
            cell = int(y % TILE // CELL) * SIDE + int(x % TILE // CELL)
            self.cells.setdefault(("glyphs", index), tile * TOKENS + cell)
            if glyph.letter in draw.LETTERS:
                slots.setdefault((tile, cell), []).append(1 + draw.LETTERS.index(glyph.letter))
        legible = all(
            glyph.size * scale[0] >= 15 and glyph.size * scale[1] >= 16
            for glyph in picture.glyphs[:1]
        )
        for place, letters in slots.items():
            self.letters[place] = (letters + [0] * SLOTS)[:SLOTS] if legible else IGNORED

    def _lay(
        self, picture: draw.Picture, columns: int, rows: int, first: int, scale: tuple[float, float]
    ) -> None:
        for index, shape in sorted(enumerate(picture.shapes), key=lambda pair: _area(pair[1].box)):
            box = np.array(shape.box) * [*scale, *scale]
            for tile in range(columns * rows):
                corner = np.tile([tile % columns * TILE, tile // columns * TILE], 2)
                part = np.clip(box - corner, 0, TILE)
                if min(part[2] - part[0], part[3] - part[1]) < 6:
                    continue
                x, y = (part[:2] + part[2:]) / 2
                cell = min(int(y // CELL), SIDE - 1) * SIDE + min(int(x // CELL), SIDE - 1)
                if columns * rows == 1:
                    self.cells["shapes", index] = (first + tile) * TOKENS + cell
                if _area(part) < 0.5 * _area(box):
                    self.things[first + tile, cell] = IGNORED
                else:
                    names = [
                        1 + draw.KINDS.index(shape.kind),
                        1 + list(draw.COLOURS).index(shape.colour),
                    ]
                    self.things[first + tile, cell] = [
                        *names,
                        *np.rint(part / TILE * 100).astype(int),
                    ]


def _area(box: Any) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


class Asker:
    """Prompts and answers as token ids, by the project's own renderer."""

    def __init__(self, files: Path) -> None:
        self.renderer = Renderer(load_checkpoint(str(files)))
        self.tokenizer = Tokenizer.from_file(str(files / "tokenizer.json"))
        self.end = self.tokenizer.token_to_id("<|im_end|>")
        self.vocabulary = self.tokenizer.get_vocab_size()
        self.context_id = self.renderer.tokenizer.image_context_id

    def prompt(self, sample: draw.Sample, tiles: list[np.ndarray]) -> np.ndarray:
        return self.renderer.render(
            sample.question, [len(part) for part in tiles], media=sample.media
        ).token_ids

    def answer(self, sample: draw.Sample) -> tuple[list[int], list[list[tuple[int, str, int]]]]:
        """Ids, the end included, and for each the marks it follows from."""
        encoded = self.tokenizer.encode(sample.answer)
        return [*encoded.ids, self.end], [
            *(sample.seen[stop - 1] for _, stop in encoded.offsets),
            [],
        ]

    def neighbours(self) -> tuple[Tensor, Tensor]:
        """For each token those that count as nearly right, and their weights: coordinates 10 and 20
        to either side."""
        near = torch.arange(self.vocabulary)[:, None].repeat(1, 5)
        weight = torch.zeros(self.vocabulary, 5)
        weight[:, 0] = 1
        for space in ("", "Ġ"):
            for number in range(0, 1001, draw.STEP):
                steps = [number + draw.STEP * step for step in (0, 1, -1, 2, -2)]
                kept = [step for step in steps if 0 <= step <= 1000]
                at = self.tokenizer.token_to_id(f"{space}{number}")
                scores = torch.tensor(
                    [math.exp(-(((step - number) / draw.STEP) ** 2) / 2) for step in kept]
                )
                near[at, : len(kept)] = torch.tensor(
                    [self.tokenizer.token_to_id(f"{space}{step}") for step in kept]
                )
                weight[at] = 0
                weight[at, : len(kept)] = scores / scores.sum()
        return near, weight


class Batches(Dataset):
    """Batch number n follows from the seed and n. Four at a time are drawn together and sorted by
    length."""

    def __init__(self, stage: str, files: Path, size: int, seed: int) -> None:
        self.stage, self.files, self.size, self.seed = stage, files, size, seed
        self.group = lru_cache(maxsize=1)(self._group)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        return self.group(number // 4)[number % 4]

    def _group(self, number: int) -> list[dict[str, Tensor]]:
        torch.set_num_threads(1)
        rng = random.Random(f"{self.seed} {self.stage} {number}")
        mixture = {"letters": 5, "ocr": 1, "clutter": 2} if self.stage == "see" else MIXTURE
        tasks = rng.choices(list(mixture), weights=list(mixture.values()), k=4 * self.size)
        drawn = [self._prepare(draw.draw(task, rng.getrandbits(48))) for task in tasks]
        drawn.sort(key=lambda item: len(item["tiles"]) if self.stage == "see" else len(item["ids"]))
        batches = [self._join(drawn[at * self.size : (at + 1) * self.size]) for at in range(4)]
        rng.shuffle(batches)
        return batches

    @property
    def asker(self) -> Asker:
        if not hasattr(self, "_asker"):
            self._asker = Asker(self.files)
        return self._asker

    def _prepare(self, sample: draw.Sample) -> dict[str, Any]:
        tiles = tiles_of(sample)
        told = [
            Told(picture, MAX_TILES if len(sample.pictures) == 1 else 1)
            for picture in sample.pictures
        ]
        item: dict[str, Any] = {
            "tiles": np.concatenate(tiles),
            "letters": np.concatenate([one.letters for one in told]),
            "things": np.concatenate([one.things for one in told]),
        }
        if self.stage == "see":
            return item
        prompt = self.asker.prompt(sample, tiles)
        answer, seen = self.asker.answer(sample)
        places = np.flatnonzero(prompt == self.asker.context_id)
        firsts = np.cumsum([0, *(len(part) * TOKENS for part in tiles)])
        item["ids"] = np.concatenate([prompt, answer]).astype(np.int64)
        item["answer"] = len(answer)
        item["visual_at"] = places
        item["looks"] = [
            (
                len(prompt) - 1 + at,
                [
                    places[firsts[picture] + told[picture].cells[kind, index]]
                    for picture, kind, index in marks
                ],
            )
            for at, marks in enumerate(seen)
            if marks
        ]
        return item

    def _join(self, items: list[dict[str, Any]]) -> dict[str, Tensor]:
        batch = {
            name: torch.from_numpy(np.concatenate([item[name] for item in items]))
            for name in ("tiles", "letters", "things")
        }
        if self.stage == "see":
            return batch
        length = max(len(item["ids"]) for item in items)
        ids = np.zeros((len(items), length), np.int64)
        asked, answers, visual_at, look_from, look_row, look_to = [], [], [], [], [], []
        for row, item in enumerate(items):
            count = len(item["ids"])
            ids[row, :count] = item["ids"]
            asked.append(row * length + np.arange(count - item["answer"] - 1, count - 1))
            answers.append(item["ids"][-item["answer"] :])
            visual_at.append(row * length + item["visual_at"])
            for position, places in item["looks"]:
                look_row += [len(look_from)] * len(places)
                look_to += places
                look_from.append(row * length + position)
        batch["ids"] = torch.from_numpy(ids)
        for name, parts in (("asked", asked), ("answers", answers), ("visual_at", visual_at)):
            batch[name] = torch.from_numpy(np.concatenate(parts))
        for name, numbers in (
            ("look_from", look_from),
            ("look_row", look_row),
            ("look_to", look_to),
        ):
            batch[name] = torch.tensor(np.array(numbers, np.int64))
        return batch


# Losses.

_NEAR_BOX = torch.exp(-((torch.arange(101)[:, None] - torch.arange(101)) ** 2) / 2.0)
_NEAR_BOX = _NEAR_BOX / _NEAR_BOX.sum(1, keepdim=True)


def told_losses(model: NanoInternVL, visual: Tensor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of the linear heads on visual tokens (tiles, TOKENS, width)."""
    letters = model.told["letters"](visual).float().unflatten(-1, (SLOTS, -1)).flatten(0, 2)
    things = batch["things"].flatten(0, 1)
    kind = model.told["kind"](visual).float().flatten(0, 1)
    colour = model.told["colour"](visual).float().flatten(0, 1)
    there = things[:, 2] != IGNORED
    boxes = (
        model.told["box"](visual.flatten(0, 1)[there])
        .float()
        .unflatten(-1, (4, -1))
        .log_softmax(-1)
    )
    box = -(boxes * _NEAR_BOX[things[there, 2:]]).sum(-1).mean() if there.any() else boxes.sum()
    target = batch["letters"].flatten()
    letter = F.cross_entropy(letters, target, ignore_index=IGNORED, reduction="none")
    written = target > 0
    # Most slots are empty: the mean over letters and the mean over empty slots count alike.
    return {
        "letters": letter[written].sum() / written.sum().clamp(min=1) + letter[target == 0].mean(),
        "kind": F.cross_entropy(kind, things[:, 0], ignore_index=IGNORED) * 4,
        "colour": F.cross_entropy(colour, things[:, 1], ignore_index=IGNORED) * 4,
        "box": box * 0.5,
    }


@torch.no_grad()
def told_right(model: NanoInternVL, visual: Tensor, batch: dict[str, Tensor]) -> dict[str, float]:
    """Share of letters, kinds, colours and box sides (within 3 hundredths) told right where there
    are some."""
    letters = model.told["letters"](visual).unflatten(-1, (SLOTS, -1)).argmax(-1)
    things = batch["things"]
    right = {"letters": (letters == batch["letters"])[batch["letters"] > 0]}
    for at, name in enumerate(("kind", "colour")):
        right[name] = (model.told[name](visual).argmax(-1) == things[..., at])[things[..., at] > 0]
    there = things[..., 2] != IGNORED
    boxes = model.told["box"](visual[there]).unflatten(-1, (4, -1)).argmax(-1)
    right["box"] = (boxes - things[there][:, 2:]).abs() <= 3
    return {name: float(value.float().mean()) for name, value in right.items()}


def tell_losses(
    model: NanoInternVL, visual: Tensor, batch: dict[str, Tensor], near: tuple[Tensor, Tensor]
) -> tuple[dict[str, Tensor], float]:
    """Of the answers and the guided heads; and the share of answer tokens that are right."""
    ids = batch["ids"]
    hidden, guided = model.tell(ids, visual.flatten(0, 1), batch["visual_at"])
    logits = model.words(hidden.flatten(0, 1)[batch["asked"]]).float().log_softmax(-1)
    answers = batch["answers"]
    losses = {"answer": -(logits.gather(1, near[0][answers]) * near[1][answers]).sum(1).mean()}
    length = ids.shape[1]
    rows, position = batch["look_from"] // length, batch["look_from"] % length
    later = torch.arange(length) > position[:, None]
    look = []
    for q, k in guided:
        scores = (q @ (k * k.shape[-1] ** -0.5).transpose(-1, -2))[rows, position].float()
        scores = scores.masked_fill(later, -torch.inf).log_softmax(-1)
        # Any of the cells will do.
        to = torch.full_like(scores, -torch.inf)
        at = (batch["look_row"], batch["look_to"])
        to = to.index_put(at, scores[at])
        look.append(-to.logsumexp(1).mean())
    losses["look"] = torch.stack(look).mean()
    return losses, float((logits.argmax(1) == answers).float().mean())


# Training.


class Optimizer:
    """Muon for matrices, AdamW for the rest, on float32 copies of bfloat16 weights."""

    def __init__(self, model: nn.Module, lr: float) -> None:
        self.model = model
        self.masters = {
            name: value.detach().float().clone() for name, value in model.named_parameters()
        }
        inner = [
            name
            for name, value in self.masters.items()
            if value.ndim == 2 and ("layers" in name or "mlp1" in name)
        ]
        others = [name for name in self.masters if name not in inner]
        self.parts = [
            torch.optim.Muon(
                [self.masters[name] for name in inner],
                lr=lr,
                weight_decay=0.02,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(
                [self.masters[name] for name in others], lr=lr, betas=(0.9, 0.98), weight_decay=0.0
            ),
        ]
        self.inner = set(inner)

    def step(self, lr: float) -> None:
        parameters = dict(self.model.named_parameters())
        nn.utils.clip_grad_norm_(
            [value for value in parameters.values() if value.grad is not None], 1.0
        )
        for name, value in parameters.items():
            self.masters[name].grad = None if value.grad is None else value.grad.float()
            value.grad = None
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = lr
            part.step()
        with torch.no_grad():
            for name, value in parameters.items():
                value.copy_(self.masters[name])

    def state(self) -> dict[str, Any]:
        return {"masters": self.masters, "parts": [part.state_dict() for part in self.parts]}

    def load(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                self.masters[name].copy_(state["masters"][name])
                value.copy_(self.masters[name])
        for part, saved in zip(self.parts, state.get("parts", []), strict=False):
            part.load_state_dict(saved)


def train(stage: str, options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    folder = Path(options.state)
    files = folder / "files"
    write_files(files)
    # a checkpoint without weights is refused
    save_file({"none": torch.zeros(1)}, files / "model.safetensors")
    asker = Asker(files)
    model = NanoInternVL(asker.vocabulary).to(torch.bfloat16)
    near = asker.neighbours()
    optimizer = Optimizer(model, options.lr)
    steps = {"see": 0, "tell": 0}
    if (folder / "state.pt").exists():
        state = torch.load(folder / "state.pt", weights_only=True)
        optimizer.load(state)
        steps = state["steps"]
    elif options.start:
        optimizer.load(
            {"masters": optimizer.masters | load_file(Path(options.start) / "model.safetensors")}
        )
    first, last = steps[stage], options.steps
    print(
        f"{stage}: steps {first} to {last}, {sum(p.numel() for p in model.parameters()):,} weights",
        flush=True,
    )
    loader = DataLoader(
        Batches(stage, files, options.batch, options.seed),
        batch_size=None,
        sampler=range(first, last),  # type: ignore[arg-type]
        num_workers=1,
        prefetch_factor=6,
    )
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    sums: dict[str, float] = {}
    seen, begun, saved = 0, time.time(), time.time()
    for step, batch in enumerate(loader, first):
        with torch.set_grad_enabled(not options.freeze):
            visual = model.see(batch["tiles"])
        losses = {} if options.freeze else told_losses(model, visual, batch)
        right = {}
        if stage == "tell":
            more, share = tell_losses(model, visual, batch, near)
            losses.update(more)
            right["answer tokens"] = share
        sum(losses.values()).backward()  # type: ignore[union-attr]
        rate = min(1.0, (step + 1) / 100, max(0.01, (last - step) / max(1, options.decay)))
        optimizer.step(options.lr * rate)
        seen += len(batch["tiles"])
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if (step + 1) % 25 == 0:
            right.update(told_right(model, visual.detach(), batch))
            line = {name: round(value / 25, 3) for name, value in sums.items()}
            shares = {name: round(value, 3) for name, value in right.items()}
            speed = f"{seen / (time.time() - begun):.0f} tiles/s"
            print(
                time.strftime("%H:%M:%S"), stage, step + 1, speed, line, "right", shares, flush=True
            )
            sums, seen, begun = {}, 0, time.time()
        if step + 1 == last or stopped or time.time() - saved > options.save_every:
            steps[stage], saved = step + 1, time.time()
            torch.save({"steps": steps, **optimizer.state()}, folder / "state.tmp")
            (folder / "state.tmp").rename(folder / "state.pt")
        if stopped:
            break


def export(state: Path, out: Path) -> None:
    """The checkpoint as published: bfloat16, without the heads of training."""
    write_files(out)
    masters = torch.load(state / "state.pt", weights_only=True)["masters"]
    weights = {
        name: value.to(torch.bfloat16)
        for name, value in masters.items()
        if not name.startswith("told.")
    }
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})


def load(folder: Path) -> tuple[NanoInternVL, Asker]:
    """An exported checkpoint, to ask it in plain torch."""
    asker = Asker(folder)
    model = NanoInternVL(asker.vocabulary)
    model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    return model.to(torch.bfloat16).eval(), asker


def main() -> None:
    parser = argparse.ArgumentParser(description="Train nano-InternVL.")
    parser.add_argument("stage", choices=("see", "tell", "export"))
    parser.add_argument(
        "--state", default="nano-state", help="folder of the training state, resumed from"
    )
    parser.add_argument(
        "--start", help="folder of a checkpoint to begin with where there is no state yet"
    )
    parser.add_argument(
        "--steps", type=int, default=3000, help="of this stage in all, earlier runs counted"
    )
    parser.add_argument(
        "--decay",
        type=int,
        default=0,
        help="last steps, in which the learning rate falls to nothing",
    )
    parser.add_argument("--batch", type=int, default=48, help="samples a step")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--freeze", action="store_true", help="leave the vision model as it is, which is quicker"
    )
    parser.add_argument("--save-every", type=float, default=180, help="seconds")
    parser.add_argument("--out", default="checkpoint", help="folder to export to")
    options = parser.parse_args()
    if options.stage == "export":
        export(Path(options.state), Path(options.out))
    else:
        Path(options.state).mkdir(parents=True, exist_ok=True)
        train(options.stage, options)


if __name__ == "__main__":
    sys.exit(main())
