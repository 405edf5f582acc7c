"""The family's language models, small, each with its own weight names and config keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from testing.tiny.noise import Named, Noise
from testing.tiny.tokenizers import INTERNLM2_SPECIAL, PHI3_SPECIAL, YI_SPECIAL

CONTEXT = 8192
HEAD = 64


@dataclass(frozen=True)
class Language:
    """One backbone.

    Attributes:
        template: The conversation template that it is published with.
        extra: What its config has besides the sizes.
        weights: Its weights, from the noise, the width, the number of layers, and the size of the
            vocabulary.
        sentencepiece: Arguments of `tokenizers.write_sentencepiece`; None for a byte-level
            tokenizer.
        code: Python modules that are published beside it.
    """

    template: str
    extra: dict[str, Any]
    weights: Callable[[Noise, int, int, int], Named]
    sentencepiece: dict[str, Any] | None = None
    code: tuple[str, ...] = ()

    def config(self, hidden: int, layers: int, vocabulary: int) -> dict[str, Any]:
        heads, kv_heads = _heads(hidden)
        return {
            "hidden_size": hidden,
            "intermediate_size": 2 * hidden,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "num_hidden_layers": layers,
            "vocab_size": vocabulary,
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1000000.0,
            "hidden_act": "silu",
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            **self.extra,
        }


def _heads(hidden: int) -> tuple[int, int]:
    return hidden // HEAD, max(1, hidden // HEAD // 2)


def _llama(noise: Noise, hidden: int, layers: int, vocabulary: int, *, qkv_bias: bool) -> Named:
    """Llama's names, which Qwen2 shares."""
    _, kv_heads = _heads(hidden)
    named: Named = []
    for index in range(layers):
        name = f"language_model.model.layers.{index}"
        named += noise.linear(f"{name}.self_attn.q_proj", hidden, hidden, bias=qkv_bias)
        named += noise.linear(f"{name}.self_attn.k_proj", kv_heads * HEAD, hidden, bias=qkv_bias)
        named += noise.linear(f"{name}.self_attn.v_proj", kv_heads * HEAD, hidden, bias=qkv_bias)
        named += noise.linear(f"{name}.self_attn.o_proj", hidden, hidden, bias=False)
        named += noise.linear(f"{name}.mlp.gate_proj", 2 * hidden, hidden, bias=False)
        named += noise.linear(f"{name}.mlp.up_proj", 2 * hidden, hidden, bias=False)
        named += noise.linear(f"{name}.mlp.down_proj", hidden, 2 * hidden, bias=False)
        named += noise.rms_norm(f"{name}.input_layernorm", hidden)
        named += noise.rms_norm(f"{name}.post_attention_layernorm", hidden)
    return named + _ends(noise, hidden, vocabulary, "model.embed_tokens", "lm_head")


def _qwen2_weights(noise: Noise, hidden: int, layers: int, vocabulary: int) -> Named:
    return _llama(noise, hidden, layers, vocabulary, qkv_bias=True)


def _llama_weights(noise: Noise, hidden: int, layers: int, vocabulary: int) -> Named:
    return _llama(noise, hidden, layers, vocabulary, qkv_bias=False)


def _phi3_weights(noise: Noise, hidden: int, layers: int, vocabulary: int) -> Named:
    """Queries, keys and values in one matrix, one below the other; gate and up likewise."""
    heads, kv_heads = _heads(hidden)
    named: Named = []
    for index in range(layers):
        name = f"language_model.model.layers.{index}"
        named += noise.linear(
            f"{name}.self_attn.qkv_proj", (heads + 2 * kv_heads) * HEAD, hidden, bias=False
        )
        named += noise.linear(f"{name}.self_attn.o_proj", hidden, hidden, bias=False)
        named += noise.linear(f"{name}.mlp.gate_up_proj", 4 * hidden, hidden, bias=False)
        named += noise.linear(f"{name}.mlp.down_proj", hidden, 2 * hidden, bias=False)
        named += noise.rms_norm(f"{name}.input_layernorm", hidden)
        named += noise.rms_norm(f"{name}.post_attention_layernorm", hidden)
    return named + _ends(noise, hidden, vocabulary, "model.embed_tokens", "lm_head")


def _internlm2_weights(noise: Noise, hidden: int, layers: int, vocabulary: int) -> Named:
    """Names of its own, and `wqkv`: for each key head its queries, then its key, then its value."""
    heads, kv_heads = _heads(hidden)
    named: Named = []
    for index in range(layers):
        name = f"language_model.model.layers.{index}"
        named += noise.linear(
            f"{name}.attention.wqkv", (heads + 2 * kv_heads) * HEAD, hidden, bias=False
        )
        named += noise.linear(f"{name}.attention.wo", hidden, hidden, bias=False)
        named += noise.linear(f"{name}.feed_forward.w1", 2 * hidden, hidden, bias=False)
        named += noise.linear(f"{name}.feed_forward.w3", 2 * hidden, hidden, bias=False)
        named += noise.linear(f"{name}.feed_forward.w2", hidden, 2 * hidden, bias=False)
        named += noise.rms_norm(f"{name}.attention_norm", hidden)
        named += noise.rms_norm(f"{name}.ffn_norm", hidden)
    return named + _ends(noise, hidden, vocabulary, "model.tok_embeddings", "output")


def _ends(noise: Noise, hidden: int, vocabulary: int, embeddings: str, output: str) -> Named:
    return [
        *noise.rms_norm("language_model.model.norm", hidden),
        (f"language_model.{embeddings}.weight", noise.normal(vocabulary, hidden, scale=0.5)),
        (f"language_model.{output}.weight", noise.normal(vocabulary, hidden, scale=0.5)),
    ]


LANGUAGES = {
    "qwen2": Language(
        template="internvl2_5",
        extra={"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"},
        weights=_qwen2_weights,
    ),
    "internlm2": Language(
        template="internlm2-chat",
        extra={
            "architectures": ["InternLM2ForCausalLM"],
            "model_type": "internlm2",
            "auto_map": {"AutoConfig": "configuration_internlm2.InternLM2Config"},
            "bias": False,
            "rms_norm_eps": 1e-5,
            "rope_scaling": {"factor": 2.0, "type": "dynamic"},
        },
        weights=_internlm2_weights,
        sentencepiece={
            "tokenizer_class": "InternLM2Tokenizer",
            "special": INTERNLM2_SPECIAL,
            "auto_map": {"AutoTokenizer": ["tokenization_internlm2.InternLM2Tokenizer", None]},
        },
        code=("configuration_internlm2", "tokenization_internlm2"),
    ),
    "phi3": Language(
        template="phi3-chat",
        extra={
            "architectures": ["Phi3ForCausalLM"],
            "model_type": "phi3",
            "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config"},
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "original_max_position_embeddings": CONTEXT // 2,
            "rope_scaling": {
                "type": "su",
                "short_factor": [1.0 + 0.01 * place for place in range(HEAD // 2)],
                "long_factor": [1.0 + 0.1 * place for place in range(HEAD // 2)],
            },
            "sliding_window": 2 * CONTEXT,
            "pad_token_id": 0,
        },
        weights=_phi3_weights,
        sentencepiece={
            "tokenizer_class": "LlamaTokenizer",
            "special": PHI3_SPECIAL,
            "legacy": False,
            "rstrip": PHI3_SPECIAL,
        },
        code=("configuration_phi3",),
    ),
    "yi": Language(
        template="Hermes-2",
        extra={
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "rms_norm_eps": 1e-5,
            "rope_theta": 5000000.0,
        },
        weights=_llama_weights,
        sentencepiece={
            "tokenizer_class": "LlamaTokenizer",
            "special": YI_SPECIAL,
            "legacy": True,
            "add_bos_token": False,
        },
    ),
    "llama3": Language(
        template="internlm2-chat",
        extra={
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "rms_norm_eps": 1e-5,
            "rope_theta": 500000.0,
        },
        weights=_llama_weights,
    ),
}
