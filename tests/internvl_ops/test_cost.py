"""What a unit costs, against figures worked out by hand and against operations counted in a running
model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from internvl_ops.cost import Cost, Efficiency, Roofline
from internvl_ops.errors import ConfigurationError
from internvl_ops.gpus import GPUS, find_gpu
from internvl_ops.models.checkpoints.config import load_checkpoint
from internvl_ops.models.family.registry import REGISTRY
from testing.tiny import make_tiny_checkpoint

ARCHITECTURES = {entry.name: entry.architecture for entry in REGISTRY}
EIGHT = Cost(ARCHITECTURES["InternVL2_5-8B"], 256)


class TestByHand:
    """InternVL2.5-8B: InternViT-300M (24 layers of 1024, MLPs of 4096) and InternLM2.5-7B (32
    layers of 4096)."""

    def test_vision_of_a_tile(self) -> None:
        # 448 / 14 = 32 a side: 1,024 patches of 3·14·14 = 588 values, and 1,025 tokens.
        embedding = 1_024 * 588 * 1_024
        # A layer's weights: 3·1,024² + 1,024² for attention, 2·1,024·4,096 for its MLP: 12,582,912.
        linear = 1_025 * 24 * 12_582_912
        # Every token looks at every one, twice (scores, values), over 1,024 dimensions.
        attention = 2 * 1_025**2 * 1_024 * 24
        assert 2 * (embedding + linear + attention) == 723_593_035_776
        assert EIGHT.vision_per_tile == 723_593_035_776

    def test_projector_of_a_tile(self) -> None:
        assert (
            EIGHT.projector_per_tile == 2 * 256 * (4_096 * 4_096 + 4_096 * 4_096) == 17_179_869_184
        )

    def test_a_token_of_the_language_model(self) -> None:
        # A layer: 4,096 · 128 · (2·32 heads + 2·8 kv heads) = 41,943,040, and 3 · 4,096 · 14,336 =
        # 176,160,768.
        assert EIGHT.linear_per_token == 2 * 32 * (41_943_040 + 176_160_768) == 13_958_643_712
        assert EIGHT.output_per_token == 2 * 4_096 * 92_553

    def test_a_prompt_looks_back(self) -> None:
        # Three tokens look at 1 + 2 + 3 = 6; each pair costs 4 · 32 layers · 4,096.
        assert EIGHT.prompt(3) == 3 * 13_958_643_712 + 6 * 524_288

    def test_an_answer_reads_all_but_its_last_token(self) -> None:
        # Two tokens after a prompt of 10: one is read, and looks at 11.
        assert EIGHT.answer(10, 2) == 2 * EIGHT.output_per_token + 13_958_643_712 + 11 * 524_288
        assert EIGHT.answer(10, 1) == EIGHT.output_per_token
        assert EIGHT.answer(10, 0) == 0

    def test_many_units_at_once(self) -> None:
        tiles, prompt, tokens = np.array([1, 13]), np.array([300, 3_400]), np.array([0, 30])
        assert EIGHT.unit(tiles, prompt, tokens).tolist() == [
            EIGHT.unit(1, 300, 0),
            EIGHT.unit(13, 3_400, 30),
        ]

    def test_of_experts_only_those_that_are_asked(self) -> None:
        # Qwen3-30B-A3B: its card says 3.3 billion parameters for a token, embeddings and output
        # layer included.
        cost = Cost(ARCHITECTURES["InternVL3_5-30B-A3B"], 256)
        assert cost.linear_per_token / 2 + cost.output_per_token == pytest.approx(3.3e9, rel=0.03)


def test_the_same_is_counted_in_a_running_model(tmp_path: Path) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from internvl_ops.models.checkpoints.native import load_native
    from internvl_ops.models.tokenizers.tokenizer import Tokenizer

    make_tiny_checkpoint(tmp_path, tile_size=112)
    checkpoint = load_checkpoint(str(tmp_path))
    cost, tiles = Cost.of(checkpoint), 3
    context = Tokenizer(checkpoint).image_context_id
    model = load_native(
        str(tmp_path), context, {"dtype": "float32", "attn_implementation": "eager"}
    )
    ids = torch.tensor([[1] * 5 + [context] * tiles * checkpoint.tokens_per_tile + [1] * 7])
    size = checkpoint.tile_size
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(
            input_ids=ids,
            pixel_values=torch.zeros(tiles, 3, size, size),
            logits_to_keep=1,
            use_cache=False,
        )
    tokens = ids.numel()
    # Eager attention also multiplies what the mask then hides: all pairs instead of those that look
    # back.
    hidden = cost.attention_per_pair * tokens * (tokens - 1) // 2
    expected = cost.unit(tiles, tokens, 1) + hidden
    # Besides: the rotary embedding of positions, an outer product.
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.001)


class TestRoofline:
    def test_prompts_are_bound_by_operations_and_answers_by_memory(self) -> None:
        roofline = Roofline(EIGHT, GPUS["h100"])
        seconds = roofline.seconds(13, 3_400, 100)
        # 13 tiles: 13 · (723.6 + 17.2) GFLOP at 989.5 TFLOP/s.
        assert seconds.vision == pytest.approx(13 * 740.773e9 / 989.5e12, rel=1e-4)
        assert seconds.prompt == pytest.approx(
            (3_400 * 13.9586e9 + 5_781_700 * 524_288) / 989.5e12, rel=1e-4
        )
        # 99 steps read 128 KiB for each of about 3,450 tokens, and a share of 14.7 GB of weights.
        batch = roofline.batch(3_500)
        weights = 2 * (13_958_643_712 / 2 + 4_096 * 92_553)
        assert seconds.answer == pytest.approx(
            99 * (weights / batch + 3_450 * 131_072) / 3.35e12, rel=1e-4
        )

    def test_the_cache_limits_how_many_run_side_by_side(self) -> None:
        # 0.92 · 24 GB - 16.2 GB of weights - 2 GiB leave 3.7 GB, for contexts of 3,500 · 128 KiB.
        assert Roofline(EIGHT, GPUS["l4"]).batch(3_500) == 8
        assert Roofline(EIGHT, GPUS["h200"], in_flight=32).batch(3_500) == 32

    def test_what_does_not_fit(self) -> None:
        large = Cost(ARCHITECTURES["InternVL2_5-78B"], 256)
        assert not Roofline(large, GPUS["h100"]).fits
        assert Roofline(large, GPUS["h100"], gpus=4).fits
        assert Roofline(large, GPUS["h200"], bits=4).fits

    def test_half_as_efficient_is_twice_as_long(self) -> None:
        roofline = Roofline(EIGHT, GPUS["h100"])
        half = roofline.seconds(13, 3_400, 100, Efficiency(0.5, 0.5))
        assert half.total == pytest.approx(2 * roofline.seconds(13, 3_400, 100).total)


class TestGpus:
    @pytest.mark.parametrize(
        ("said", "name"),
        [
            ("h100", "h100"),
            ("H200", "h200"),
            ("NVIDIA H100 80GB HBM3", "h100"),
            ("NVIDIA H100 PCIe", "h100-pcie"),
            ("NVIDIA A100-SXM4-40GB", "a100-40g"),
            ("A100-40G", "a100-40g"),
            ("NVIDIA L40S", "l40s"),
            ("NVIDIA GeForce RTX 4090", "rtx4090"),
            ("GeForce-RTX-4090", "rtx4090"),
        ],
    )
    def test_names(self, said: str, name: str) -> None:
        assert find_gpu(said).name == name

    def test_an_unknown_one_is_refused_with_the_list(self) -> None:
        with pytest.raises(ConfigurationError, match=r"`gpu`=v9000: .*Known are b200, h200, h100"):
            find_gpu("v9000")
