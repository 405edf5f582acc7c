"""The family's table agrees with what is published."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from internvl_ops.models.checkpoints.architecture import Architecture, read_architecture
from internvl_ops.models.checkpoints.json_files import read_json
from internvl_ops.models.family.registry import BACKBONES, INTERNVIT_6B, INTERNVIT_300M, REGISTRY
from internvl_ops.models.templates.conversation_template import TEMPLATES
from testing.tiny import LANGUAGES, VISIONS, make_tiny_checkpoint

# Parameters in billions as the model cards print them.
CARDS = {
    "InternVL-Chat-V1-5": 25.5,
    "Mini-InternVL-Chat-2B-V1-5": 2.2,
    "InternVL2-1B": 0.9,
    "InternVL2_5-4B": 3.71,
}
# Layers of the language model, by the cards' `split_model`.
LAYERS = {
    "InternVL2-1B": 24, "InternVL2-2B": 24, "InternVL2-4B": 32, "InternVL2-8B": 32,
    "InternVL2-26B": 48, "InternVL2-40B": 60, "InternVL2-Llama3-76B": 80, "InternVL2_5-1B": 24,
    "InternVL2_5-2B": 24, "InternVL2_5-4B": 36, "InternVL2_5-8B": 32, "InternVL2_5-26B": 48,
    "InternVL2_5-38B": 64, "InternVL2_5-78B": 80,
}  # fmt: skip


def architecture(name: str) -> Architecture:
    return next(entry.architecture for entry in REGISTRY if name == entry.name)


class TestEntries:
    def test_no_name_twice_and_every_template_known(self) -> None:
        names = [name for entry in REGISTRY for name in entry.names]
        assert len(names) == len(set(names))
        assert {entry.template for entry in REGISTRY} <= set(TEMPLATES)
        assert {entry.backbone for entry in REGISTRY} == set(BACKBONES)

    @pytest.mark.parametrize("name", CARDS)
    def test_parameters_are_the_cards(self, name: str) -> None:
        digits = len(str(CARDS[name]).split(".")[1])
        assert round(architecture(name).parameters / 1e9, digits) == CARDS[name]

    @pytest.mark.parametrize("name", LAYERS)
    def test_layers_are_the_cards(self, name: str) -> None:
        assert architecture(name).language.layers == LAYERS[name]

    def test_towers(self) -> None:
        assert (INTERNVIT_300M.hidden, INTERNVIT_300M.layers, INTERNVIT_300M.heads) == (
            1024,
            24,
            16,
        )
        assert (INTERNVIT_6B.hidden, INTERNVIT_6B.layers, INTERNVIT_6B.heads) == (3200, 45, 25)


class TestSizes:
    @pytest.mark.parametrize("vision", VISIONS)
    @pytest.mark.parametrize("language", LANGUAGES)
    def test_counted_parameters_are_those_in_the_file(
        self, tmp_path: Path, vision: str, language: str
    ) -> None:
        from safetensors import safe_open

        folder = make_tiny_checkpoint(tmp_path / "model", vision=vision, language=language)
        with safe_open(folder / "model.safetensors", "pt") as file:
            count = sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118
        read = read_architecture(read_json(folder / "config.json"))
        assert read.parameters == count
        assert read.weight_bytes() == 2 * count

    def test_25_vision_heads_do_not_divide_and_are_kept_whole(self) -> None:
        model = architecture("InternVL2_5-26B")
        assert model.refuses_tensor_parallel(8) is None
        whole = model.vision.attention_parameters * 2
        assert model.weight_bytes(16, 8) > (model.weight_bytes(16) - whole) / 8 + whole

    @pytest.mark.parametrize(
        ("name", "sizes"),
        [("InternVL2_5-1B", [1, 2]), ("InternVL2-40B", [1, 2, 4, 8]), ("InternVL3-8B", [1, 2, 4])],
    )
    def test_tensor_parallel(self, name: str, sizes: list[int]) -> None:
        assert architecture(name).tensor_parallel_sizes() == sizes

    def test_key_value_cache(self) -> None:
        model = architecture("InternVL2_5-8B")
        assert model.kv_bytes_per_token() == 2 * 2 * 32 * 8 * 128
        assert model.kv_bytes_per_token(4) == model.kv_bytes_per_token() / 4
        # a head is kept at least once
        assert model.kv_bytes_per_token(16) == model.kv_bytes_per_token() / 8


class TestTable:
    def test_the_command_prints_every_checkpoint(self) -> None:
        ran = subprocess.run(
            [sys.executable, "-m", "internvl_ops.models"],
            capture_output=True,
            text=True,
            check=True,
        )
        for entry in REGISTRY:
            assert entry.name in ran.stdout
            assert entry.backbone in ran.stdout
