"""The encoders in plain torch, compared with independent restatements of the published code, in
float32."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from internvl_ops.errors import ConfigurationError
from internvl_ops.models.checkpoints.native import load_native
from internvl_ops.models.checkpoints.pixels import normalised
from internvl_ops.models.encoders.config import Encoder, load_encoder
from internvl_ops.models.encoders.dual import Dual, load_dual
from internvl_ops.models.encoders.texts import LONGEST, TextTokenizer
from internvl_ops.models.encoders.tower import Tower, load_tower
from testing.cluster import ROOT
from testing.tiny.encoders import QUERIES, make_tiny_internvit, make_tiny_internvl
from testing.tiny.native import make_tiny_native_checkpoint
from testing.tiny.published import make_tiny_checkpoint

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
Weights = Mapping[str, torch.Tensor]


@pytest.fixture(scope="module")
def dual_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_internvl(tmp_path_factory.mktemp("dual"))


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return {name: one.float() for name, one in load_file(folder / "model.safetensors").items()}


def pictures(side: int, count: int = 3) -> torch.Tensor:
    return torch.randint(
        0,
        256,
        (count, 3, side, side),
        generator=torch.Generator().manual_seed(1),
        dtype=torch.uint8,
    )


# The published InternViT, written anew: one picture at a time, head by head.


def restated_vision(
    weights: Weights, config: dict[str, Any], picture: torch.Tensor
) -> torch.Tensor:
    """The last hidden state of one picture, shape (1 + patches, width)."""
    patch, width, heads = config["patch_size"], config["hidden_size"], config["num_attention_heads"]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = (picture.float() / 255 - mean[:, None, None]) / std[:, None, None]
    rows = []
    for top in range(0, pixels.shape[1], patch):
        for left in range(0, pixels.shape[2], patch):
            seen = pixels[:, top : top + patch, left : left + patch].flatten()
            rows.append(weights["embeddings.patch_embedding.weight"].flatten(1) @ seen)
    patches = torch.stack(rows) + weights["embeddings.patch_embedding.bias"]
    hidden = (
        torch.cat([weights["embeddings.class_embedding"][0], patches])
        + weights["embeddings.position_embedding"][0]
    )

    def norm(given: torch.Tensor, name: str) -> torch.Tensor:
        weight = weights[f"{name}.weight"]
        if config["norm_type"] == "rms_norm":
            return rms(given, weight)
        centred = given - given.mean(-1, keepdim=True)
        scaled = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
        return scaled * weight + weights[f"{name}.bias"]

    for index in range(config["num_hidden_layers"]):
        layer = f"encoder.layers.{index}"
        qkv = norm(hidden, f"{layer}.norm1") @ weights[f"{layer}.attn.qkv.weight"].T
        if config["qkv_bias"]:
            qkv = qkv + weights[f"{layer}.attn.qkv.bias"]
        query, key, value = qkv[:, :width], qkv[:, width : 2 * width], qkv[:, 2 * width :]
        if config["qk_normalization"]:
            query, key = (
                rms(one, weights[f"{layer}.attn.{name}_norm.weight"])
                for one, name in ((query, "q"), (key, "k"))
            )
        read = by_heads(query, key, value, heads)
        read = read @ weights[f"{layer}.attn.proj.weight"].T + weights[f"{layer}.attn.proj.bias"]
        hidden = hidden + read * weights[f"{layer}.ls1"]
        inner = (
            norm(hidden, f"{layer}.norm2") @ weights[f"{layer}.mlp.fc1.weight"].T
            + weights[f"{layer}.mlp.fc1.bias"]
        )
        inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
        inner = inner @ weights[f"{layer}.mlp.fc2.weight"].T + weights[f"{layer}.mlp.fc2.bias"]
        hidden = hidden + inner * weights[f"{layer}.ls2"]
    return hidden


def rms(given: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return weight * given / (given.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()


def by_heads(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    heads: int,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    found = []
    for one in zip(*(part.chunk(heads, -1) for part in (query, key, value)), strict=True):
        scores = one[0] @ one[1].T / math.sqrt(one[0].shape[-1])
        found.append((scores if mask is None else scores + mask).softmax(-1) @ one[2])
    return torch.cat(found, -1)


# QLLaMA, written anew: texts padded to 80 with a mask of large negative numbers, as in the
# published code.


def restated_qllama(
    weights: Weights,
    config: dict[str, Any],
    embedded: torch.Tensor,
    mask: torch.Tensor,
    picture: torch.Tensor | None = None,
) -> torch.Tensor:
    heads, count = config["num_attention_heads"], len(embedded)
    half = config["hidden_size"] // heads // 2
    angles = torch.outer(
        torch.arange(count).float(), 1 / 10000 ** (torch.arange(half).float() / half)
    )

    def turned(given: torch.Tensor) -> torch.Tensor:
        """Each head's number ``i`` turns with its number ``i + half``."""
        pairs = given.view(count, heads, 2, half)
        first, second = pairs[:, :, 0], pairs[:, :, 1]
        cosines, sines = angles.cos()[:, None], angles.sin()[:, None]
        both = [first * cosines - second * sines, second * cosines + first * sines]
        return torch.stack(both, 2).reshape(count, -1)

    hidden = embedded
    for index in range(config["num_hidden_layers"]):
        layer = f"qllama.model.layers.{index}"
        normed = rms(hidden, weights[f"{layer}.input_layernorm.weight"])
        query, key, value = (
            normed @ weights[f"{layer}.self_attn.{part}_proj.weight"].T for part in "qkv"
        )
        read = by_heads(turned(query), turned(key), value, heads, mask)
        hidden = hidden + read @ weights[f"{layer}.self_attn.o_proj.weight"].T
        if picture is not None and index % config["cross_attention_frequency"] == 0:
            cross = f"{layer}.cross_attn"
            asks = (
                rms(hidden[:QUERIES], weights[f"{cross}.norm1.weight"])
                @ weights[f"{cross}.q_proj.weight"].T
            )
            seen = rms(picture, weights[f"{cross}.norm2.weight"])
            key, value = (seen @ weights[f"{cross}.{part}_proj.weight"].T for part in "kv")
            looked = by_heads(asks, key, value, heads) @ weights[f"{cross}.o_proj.weight"].T
            hidden = torch.cat([hidden[:QUERIES] + looked, hidden[QUERIES:]])
        normed = rms(hidden, weights[f"{layer}.post_attention_layernorm.weight"])
        gate = normed @ weights[f"{layer}.mlp.gate_proj.weight"].T
        inner = gate * torch.sigmoid(gate) * (normed @ weights[f"{layer}.mlp.up_proj.weight"].T)
        hidden = hidden + inner @ weights[f"{layer}.mlp.down_proj.weight"].T
    return rms(hidden, weights["qllama.model.norm.weight"])


def restated_pool(weights: Weights, name: str, tokens: torch.Tensor) -> torch.Tensor:
    def normed(given: torch.Tensor, part: str) -> torch.Tensor:
        layer = f"{name}.norm1_{part}"
        return functional.layer_norm(
            given, given.shape[-1:], weights[f"{layer}.weight"], weights[f"{layer}.bias"], 1e-5
        )

    given = {"q": tokens.mean(0, keepdim=True), "k": tokens, "v": tokens}
    query, key, value = (
        normed(one, part) @ weights[f"{name}.cross_attn.{part}.weight"].T
        + weights[f"{name}.cross_attn.{part}_bias"]
        for part, one in given.items()
    )
    read = by_heads(query, key, value, 4)
    return (
        read @ weights[f"{name}.cross_attn.proj.weight"].T + weights[f"{name}.cross_attn.proj.bias"]
    )[0]


def unit(given: torch.Tensor) -> torch.Tensor:
    return given / given.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("kind", ["300m", "6b"])
def test_an_internvit_alone(kind: str, tmp_path: Path) -> None:
    folder = make_tiny_internvit(tmp_path, vision=kind)
    encoder = load_encoder(str(folder))
    assert (encoder.layout, encoder.tile_size, encoder.fit) == ("vision", 56, "crop")
    assert encoder.sizes == {"class": 128, "mean": 128, "none": 128}
    tower, shown = load_tower(encoder).float(), pictures(56)
    config, weights = dict(encoder.config), weights_of(folder)
    expected = torch.stack([restated_vision(weights, config, one) for one in shown])
    with torch.inference_mode():
        torch.testing.assert_close(tower(shown), expected, **CLOSE)
        torch.testing.assert_close(tower.pooled(shown, "class"), expected[:, 0], **CLOSE)
        torch.testing.assert_close(tower.pooled(shown, "mean"), expected[:, 1:].mean(1), **CLOSE)


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize(("vision", "layer"), [("300m", -1), ("6b", -2)])
def test_the_vision_model_of_a_chat_checkpoint(
    native: bool, vision: str, layer: int, tmp_path: Path
) -> None:
    """As the language model gets it, by transformers' own class."""
    make = make_tiny_native_checkpoint if native else make_tiny_checkpoint
    folder = make(tmp_path, vision=vision, layers=3, select_layer=layer)
    encoder = load_encoder(str(folder))
    assert encoder.layout == ("native_chat" if native else "chat")
    tower, shown = load_tower(encoder).float(), pictures(112)
    whole = load_native(str(folder), 5, {"dtype": "float32"})
    with torch.inference_mode():
        hidden = whole.model.vision_tower(pixel_values=normalised(shown), output_hidden_states=True)
        features = whole.get_image_features(
            pixel_values=normalised(shown), return_dict=True
        ).pooler_output
        torch.testing.assert_close(tower.pooled(shown, "projected"), features.mean(1), **CLOSE)
        torch.testing.assert_close(tower(shown), hidden.hidden_states[layer], **CLOSE)


def test_texts_of_internvl(dual_folder: Path) -> None:
    """Padded to 80 and masked in the restatement, of their own length here."""
    encoder = load_encoder(str(dual_folder))
    dual, weights = load_dual(encoder).float(), weights_of(dual_folder)
    texts = ["a photo of a red panda", "一张熊猫的照片", "x", "a red square " * 40]
    ids = [
        torch.from_numpy(TextTokenizer(encoder).encode(text)[0].astype(np.int64)) for text in texts
    ]
    expected = []
    for one in ids:
        padded = functional.pad(one, (0, LONGEST - len(one)))
        mask = torch.full((LONGEST, LONGEST), torch.finfo(torch.float32).min).triu(1)
        mask[:, padded == 0] = torch.finfo(torch.float32).min
        embedded = weights["qllama.model.embed_tokens.weight"][padded]
        hidden = restated_qllama(weights, encoder.config["qllama_config"], embedded, mask)
        expected.append(hidden[len(one) - 1] @ weights["text_projection"])
    with torch.inference_mode():
        torch.testing.assert_close(dual.pooled_texts(ids), torch.stack(expected), **CLOSE)


def test_pictures_and_logits_of_internvl_c_and_g(dual_folder: Path) -> None:
    encoder = load_encoder(str(dual_folder))
    assert encoder.sizes == {"c": 64, "g": 64, "class": 128, "mean": 128, "none": 128}
    dual, weights, shown = load_dual(encoder).float(), weights_of(dual_folder), pictures(56)
    vision = {name.removeprefix("vision_model."): one for name, one in weights.items()}
    seen = [restated_vision(vision, encoder.config["vision_config"], one) for one in shown]
    expected_c = torch.stack([restated_pool(weights, "clip_projector", one) for one in seen])
    nothing = torch.zeros(QUERIES, QUERIES)
    read = [
        restated_qllama(
            weights, encoder.config["qllama_config"], weights["query_tokens"][0], nothing, one
        )
        for one in seen
    ]
    expected_g = torch.stack([restated_pool(weights, "clip_projector2", one) for one in read])
    expected_g = unit(expected_g) + unit(expected_c)
    ids = torch.tensor([1, 30, 40, 2])
    with torch.inference_mode():
        torch.testing.assert_close(dual.pooled(shown, "c"), expected_c, **CLOSE)
        torch.testing.assert_close(dual.pooled(shown, "g"), expected_g, **CLOSE)
        text = dual.pooled_texts([ids])
        for pooling, expected in (("c", expected_c), ("g", expected_g)):
            logits = (
                dual.logit_scale.exp()
                * functional.normalize(dual.pooled(shown, pooling))
                @ unit(text).T
            )  # type: ignore[arg-type]
            torch.testing.assert_close(
                logits, math.exp(weights["logit_scale"]) * unit(expected) @ unit(text).T, **CLOSE
            )


def test_captions_of_internvl_g(dual_folder: Path) -> None:
    """The queries read each other in both directions; the prompt reads them and what stands before
    it."""
    encoder = load_encoder(str(dual_folder))
    dual, weights, shown = load_dual(encoder).float(), weights_of(dual_folder), pictures(56, 1)
    vision = {name.removeprefix("vision_model."): one for name, one in weights.items()}
    picture = restated_vision(vision, encoder.config["vision_config"], shown[0])
    said = [int(token) for token in TextTokenizer(encoder).prompt("English caption:")]
    assert said[-1] != 2
    for _ in range(5):
        embedded = torch.cat(
            [weights["query_tokens"][0], weights["qllama.model.embed_tokens.weight"][said]]
        )
        mask = torch.full((len(embedded), len(embedded)), -1e9).triu(1)
        mask[:QUERIES, :QUERIES] = 0
        hidden = restated_qllama(weights, encoder.config["qllama_config"], embedded, mask, picture)
        expected = hidden[-1] @ weights["qllama.lm_head.weight"].T
        with torch.inference_mode():
            logits = dual.next_logits(dual.tower(shown), torch.tensor([said]))[0]
        torch.testing.assert_close(logits, expected, **CLOSE)
        said.append(int(expected.argmax()))


def test_a_text_has_the_prefix_the_end_token_and_80_tokens_at_most(dual_folder: Path) -> None:
    tokenizer = TextTokenizer(load_encoder(str(dual_folder)))
    ids, cut = tokenizer.encode("a red square")
    assert (ids[0], ids[-1], cut) == (1, 2, False)
    assert len(tokenizer.encode("a red square", prefix="")[0]) < len(ids)
    long, cut = tokenizer.encode("a red square " * 40)
    assert (len(long), long[-1], cut) == (LONGEST, 2, True)


def test_special_tokens_in_a_text_are_text(dual_folder: Path) -> None:
    tokenizer = TextTokenizer(load_encoder(str(dual_folder)))
    ids, _ = tokenizer.encode("the end </s> and <s> the start <unk>")
    assert (ids[1:-1] > 2).all()


def test_the_nano_checkpoint_s_tower() -> None:
    encoder = load_encoder(str(ROOT / "examples" / "nano" / "checkpoint"))
    tower = load_tower(encoder, projected=False)
    assert isinstance(tower, Tower)
    assert tower.projector is None
    with torch.inference_mode():
        assert tower.pooled(pictures(encoder.tile_size), "mean").shape == (3, encoder.sizes["mean"])


@pytest.mark.parametrize("fault", ["missing", "shape", "unknown"])
def test_weights_of_another_checkpoint(fault: str, dual_folder: Path, tmp_path: Path) -> None:
    for file in dual_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    if fault == "missing":
        del weights["query_tokens"]
    elif fault == "shape":
        weights["query_tokens"] = weights["query_tokens"][:, :4].contiguous()
    else:
        weights["qllama.model.layers.9.mlp.up_proj.weight"] = weights["query_tokens"].clone()
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(
        ConfigurationError, match=r"1 weights are not those of config\.json: \S+ (is|has)"
    ):
        load_dual(load_encoder(str(tmp_path)))


@pytest.mark.parametrize("kind", ["qwen2", "llava", None])
def test_another_model_is_refused(kind: str | None, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(
        ConfigurationError,
        match=f"has model_type {kind!r}; in plain torch, vectors come from an InternViT",
    ):
        load_encoder(str(tmp_path))


def test_a_config_that_lacks_a_key(tmp_path: Path) -> None:
    make_tiny_internvit(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["hidden_size"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigurationError, match="not as published: KeyError 'hidden_size'"):
        load_encoder(str(tmp_path))


def test_a_pooling_that_the_checkpoint_has_not(tmp_path: Path) -> None:
    encoder: Encoder = load_encoder(str(make_tiny_internvit(tmp_path)))
    with pytest.raises(ConfigurationError, match="gives vectors pooled by class, mean"):
        encoder.size("projected")


def test_the_dual_encoder_is_whole(dual_folder: Path) -> None:
    dual = load_dual(load_encoder(str(dual_folder)))
    assert isinstance(dual, Dual)
    assert all(not one.is_meta for one in dual.state_dict().values())
