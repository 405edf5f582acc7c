"""Small random text encoders in the layouts in which they are published: a BERT and a Qwen3."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from testing.tiny.published import write_json

WORDS = """
    a an the of on in and red blue green square circle triangle large small picture photo drawing
    two three dogs cats query: passage: . ,
"""
_POOLINGS = {
    "class": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "last": "pooling_mode_lasttoken",
}


def make_tiny_text_encoder(
    out: str | Path,
    *,
    kind: Literal["bert", "qwen3"] = "bert",
    pooling: Literal["class", "mean", "last"] | None = "mean",
    hidden: int = 64,
    layers: int = 2,
    longest: int = 48,
    seed: int = 7,
) -> Path:
    """Writes a text encoder into the folder `out` and returns it.

    Args:
        out: Folder to write into; made if absent.
        kind: ``bert`` reads in both directions, ``qwen3`` from left to right.
        pooling: What the files of sentence-transformers beside it say; None writes none of them.
        hidden: Width, a multiple of 64.
        layers: Number of layers.
        longest: Tokens that it reads at most.
        seed: Of the weights.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    vocabulary = _write_tokenizer(out, kind)
    common: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden // 32,
        "max_position_embeddings": longest,
    }
    if kind == "bert":
        from transformers import BertConfig, BertModel

        model: Any = BertModel(BertConfig(**common, pad_token_id=0), add_pooling_layer=False)
    else:
        from transformers import Qwen3Config, Qwen3Model

        config = Qwen3Config(**common, num_key_value_heads=1, head_dim=32, eos_token_id=3)
        config.architectures = ["Qwen3ForCausalLM"]
        model = Qwen3Model(config)
    for parameter in model.parameters():  # so that no two texts are nearly the same
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3 if parameter.shape[0] == vocabulary else 0.1)
    model.to(torch.float32).save_pretrained(out)
    config_file = out / "config.json"
    architectures = ["BertModel"] if kind == "bert" else ["Qwen3ForCausalLM"]
    config_file.write_text(
        json.dumps(json.loads(config_file.read_text()) | {"architectures": architectures})
    )
    if pooling is not None:
        kinds = {"Transformer": "", "Pooling": "1_Pooling"}
        modules = [
            {"idx": number, "path": path, "type": f"sentence_transformers.models.{name}"}
            for number, (name, path) in enumerate(kinds.items())
        ]
        (out / "modules.json").write_text(json.dumps(modules))
        (out / "1_Pooling").mkdir(exist_ok=True)
        modes = {name: way == pooling for way, name in _POOLINGS.items()}
        write_json(out / "1_Pooling" / "config.json", {"word_embedding_dimension": hidden, **modes})
    return out


def _write_tokenizer(out: Path, kind: str) -> int:
    """A tokenizer of words, with the marks that each kind puts around a text; its vocabulary."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {token: number for number, token in enumerate([*special, *WORDS.split()])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(special)
    marks = "[CLS] $A [SEP]" if kind == "bert" else "$A [SEP]"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=marks, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(out / "tokenizer.json"))
    write_json(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "eos_token": "[SEP]",
        },
    )
    return len(vocabulary)
