"""A LoRA adapter changes the answers as adding its matrices to the weights does; a wrong one is
refused at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from internvl_ops.engines.base import Request, Sampling
from internvl_ops.engines.vllm import VllmEngine
from internvl_ops.errors import ConfigurationError
from internvl_ops.models.checkpoints.config import Checkpoint, load_checkpoint
from internvl_ops.models.lora import load_adapter
from internvl_ops.models.prompts.rendering import Renderer
from testing.running_engine import RunningEngine
from testing.tiny import make_tiny_checkpoint
from tests.reference.internvl import ReferenceInternVL

RANK, ALPHA = 4, 8
MODULES = {
    "qwen2": [
        "self_attn.q_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        "mlp.gate_proj",
        "mlp.down_proj",
    ],
    "internlm2": ["attention.wqkv", "attention.wo", "feed_forward.w1", "feed_forward.w2"],
}


def write_adapter(
    out: Path, checkpoint: Path, language: str, **config: Any
) -> dict[str, torch.Tensor]:
    """An adapter of every layer as PEFT saves it; returns what it adds to each weight."""
    generator = torch.Generator().manual_seed(3)
    reference = ReferenceInternVL(checkpoint)
    adapter, added = {}, {}
    for layer in range(2):
        for module in MODULES[language]:
            name = f"language_model.model.layers.{layer}.{module}"
            outputs, inputs = reference.weights[f"{name}.weight"].shape
            a = torch.randn(RANK, inputs, generator=generator) * inputs**-0.5
            b = torch.randn(outputs, RANK, generator=generator) * 0.5
            adapter[f"base_model.model.{name}.lora_A.weight"] = a
            adapter[f"base_model.model.{name}.lora_B.weight"] = b
            added[f"{name}.weight"] = ALPHA / RANK * b @ a
    out.mkdir()
    save_file(adapter, out / "adapter_model.safetensors")
    settings = {
        "peft_type": "LORA",
        "r": RANK,
        "lora_alpha": ALPHA,
        "base_model_name_or_path": str(checkpoint),
        "target_modules": sorted({module.split(".")[1] for module in MODULES[language]}),
        "bias": "none",
    }
    (out / "adapter_config.json").write_text(json.dumps(settings | config))
    return added


@pytest.mark.parametrize("language", ["qwen2", pytest.param("internlm2", marks=pytest.mark.slow)])
def test_equals_the_merged_weights(tmp_path: Path, language: str) -> None:
    folder = make_tiny_checkpoint(tmp_path / "model", language=language)
    added = write_adapter(tmp_path / "adapter", folder, language)
    checkpoint = load_checkpoint(str(folder))
    renderer = Renderer(checkpoint)
    size = checkpoint.tile_size
    tiles = np.random.default_rng(0).integers(0, 256, (3, 3, size, size), dtype=np.uint8)
    rendered = renderer.render("Describe.", [3])
    arguments = {"dtype": "float32"}
    running = RunningEngine(
        VllmEngine(checkpoint, lora=f"mine={tmp_path / 'adapter'}", engine_args=arguments)
    )
    try:
        request = Request("lora", rendered.token_ids, tiles, rendered.images, ["picture"])
        answer = running.generate(request, Sampling(6, ignore_stop=True, logprobs=20))
    finally:
        running.close()

    def difference(reference: ReferenceInternVL) -> float:
        context_id = renderer.tokenizer.image_context_id
        expected = reference.logprobs(rendered.token_ids, answer.token_ids[:-1], tiles, context_id)
        positions = enumerate(answer.logprobs)
        return max(
            abs(float(expected[at, token]) - value)
            for at, top in positions
            for token, value in top.items()
        )

    plain = ReferenceInternVL(folder)
    assert difference(plain) > 0.1
    for name, delta in added.items():
        plain.weights[name] = plain.weights[name] + delta
    assert difference(plain) < 1e-3


class TestRefusals:
    @pytest.fixture
    def adapter(self, tiny_checkpoint: Path, tmp_path: Path) -> Path:
        write_adapter(tmp_path / "adapter", tiny_checkpoint, "qwen2")
        return tmp_path / "adapter"

    def refusal(self, option: str | Path, checkpoint: Checkpoint) -> str:
        with pytest.raises(ConfigurationError) as refused:
            load_adapter(str(option), checkpoint)
        return str(refused.value)

    def change(self, adapter: Path, **config: Any) -> None:
        path = adapter / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | config))

    def test_one_that_fits(self, adapter: Path, checkpoint: Checkpoint) -> None:
        read = load_adapter(f"caption={adapter}", checkpoint)
        assert (read.name, read.path, read.rank, read.sees) == ("caption", str(adapter), 8, False)
        assert load_adapter(str(adapter), checkpoint).name == "adapter"

    def test_no_such_folder(self, checkpoint: Checkpoint) -> None:
        message = self.refusal("mine=/no/such", checkpoint)
        assert (
            "`lora`=mine=/no/such: no adapter_config.json and no adapter_model.safetensors"
            in message
        )

    def test_another_kind_of_adapter(self, adapter: Path, checkpoint: Checkpoint) -> None:
        self.change(adapter, peft_type="IA3")
        assert "of type 'IA3'; allowed is LORA" in self.refusal(adapter, checkpoint)

    def test_cut_off(self, adapter: Path, checkpoint: Checkpoint) -> None:
        path = adapter / "adapter_model.safetensors"
        path.write_bytes(path.read_bytes()[:-10])
        assert "its header says" in self.refusal(adapter, checkpoint)

    def test_of_a_wider_model(self, adapter: Path, tmp_path: Path) -> None:
        other = load_checkpoint(str(make_tiny_checkpoint(tmp_path / "wide", hidden=256)))
        assert "for a language model 128 wide" in self.refusal(adapter, other)

    def test_of_a_deeper_model(self, adapter: Path, tmp_path: Path) -> None:
        other = load_checkpoint(str(make_tiny_checkpoint(tmp_path / "flat", layers=1)))
        assert "is of layer 1" in self.refusal(adapter, other)

    def test_of_another_published_checkpoint(self, adapter: Path, tmp_path: Path) -> None:
        """InternVL2-8B and InternVL2_5-8B have the same shapes."""
        self.change(adapter, base_model_name_or_path="OpenGVLab/InternVL2-8B")
        other = load_checkpoint(str(make_tiny_checkpoint(tmp_path / "InternVL2_5-8B")))
        assert "was trained on OpenGVLab/InternVL2-8B" in self.refusal(adapter, other)
        load_adapter(
            str(adapter), load_checkpoint(str(make_tiny_checkpoint(tmp_path / "InternVL2-8B")))
        )
