"""A checkpoint that the devices cannot run is refused before it is loaded, with what to do
instead."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from internvl_ops.engines import device_fit
from internvl_ops.engines.device_fit import check_memory, check_quantization, quantization_arguments
from internvl_ops.engines.vllm import VllmEngine
from internvl_ops.errors import ConfigurationError
from internvl_ops.models.checkpoints.architecture import GIB
from internvl_ops.models.checkpoints.config import Checkpoint, load_checkpoint
from internvl_ops.models.family.registry import REGISTRY

AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}
INT8 = {
    "quant_method": "bitsandbytes",
    "load_in_8bit": True,
    "llm_int8_skip_modules": ["vision_model", "mlp1"],
}
GPU_24, GPU_80 = 24 * 10**9, 80 * 10**9


@pytest.fixture
def copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))


def quantised(folder: Path, settings: dict[str, Any], *, in_language: bool = False) -> Checkpoint:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    (config["llm_config"] if in_language else config)["quantization_config"] = settings
    path.write_text(json.dumps(config))
    return load_checkpoint(str(folder))


def published(
    checkpoint: Checkpoint, name: str, bits: Any = 16, quantization: str | None = None
) -> Checkpoint:
    """A checkpoint with the sizes of a published one."""
    architecture = next(entry.architecture for entry in REGISTRY if name == entry.name)
    return replace(
        checkpoint,
        model=f"OpenGVLab/{name}",
        architecture=architecture,
        weight_bytes=architecture.weight_bytes(bits),
        quantization=quantization,
    )


class TestMemory:
    def refusal(self, checkpoint: Checkpoint, device: int, **options: Any) -> str:
        with pytest.raises(ConfigurationError) as refused:
            check_memory(checkpoint, device, **options)
        return str(refused.value)

    @pytest.mark.parametrize(
        ("name", "device"), [("InternVL2_5-8B", GPU_24), ("InternVL2_5-26B", GPU_80)]
    )
    def test_what_fits(self, checkpoint: Checkpoint, name: str, device: int) -> None:
        check_memory(published(checkpoint, name), device)

    def test_too_little_says_how_much_and_on_how_many(self, checkpoint: Checkpoint) -> None:
        message = self.refusal(published(checkpoint, "InternVL2_5-78B"), GPU_80)
        assert (
            "OpenGVLab/InternVL2_5-78B needs 149.3 GiB on each of 1 device(s): 146.0 for weights"
            in message
        )
        assert "There are 74.5 GiB, of which 92% are used" in message
        assert "`tensor_parallel`=4" in message
        check_memory(published(checkpoint, "InternVL2_5-78B"), GPU_80, tensor_parallel=4)

    def test_quantising_on_load_helps(self, checkpoint: Checkpoint) -> None:
        model = published(checkpoint, "InternVL2_5-38B")
        message = self.refusal(model, GPU_80)
        assert """`engine_args`='{"quantization": "fp8"}'""" in message
        check_memory(model, GPU_80, engine_args={"quantization": "fp8"})

    def test_files_that_are_quantised_count_as_they_are(self, checkpoint: Checkpoint) -> None:
        check_memory(published(checkpoint, "InternVL2_5-78B", 4, "awq"), GPU_80)
        assert "quantization" not in self.refusal(
            published(checkpoint, "InternVL2_5-78B", 4, "awq"), GPU_24
        )

    def test_a_cpu_is_offered_what_it_can(self, checkpoint: Checkpoint) -> None:
        message = self.refusal(
            published(checkpoint, "InternVL2_5-8B"), 12 * GIB, utilization=1, on_cpu=True
        )
        assert "int8_per_channel_weight_only" in message
        assert "fp8" not in message
        assert "`tensor_parallel`" not in message

    def test_nothing_helps(self, checkpoint: Checkpoint) -> None:
        assert "smaller checkpoint" in self.refusal(
            published(checkpoint, "InternVL3_5-241B-A28B"), 8 * GIB
        )

    def test_float32_is_twice_as_much(self, checkpoint: Checkpoint) -> None:
        model = published(checkpoint, "InternVL2_5-8B")
        assert "30.1 for weights" in self.refusal(model, GPU_24, engine_args={"dtype": "float32"})

    def test_an_engine_looks_before_it_loads(self, checkpoint: Checkpoint) -> None:
        huge = replace(checkpoint, weight_bytes=10**15)
        with pytest.raises(ConfigurationError, match=r"931322\.6 for weights"):
            asyncio.run(VllmEngine(huge).start())


class TestQuantised:
    @pytest.mark.parametrize("in_language", [True, False])
    def test_awq_needs_nothing(self, copy: Path, in_language: bool) -> None:
        checkpoint = quantised(copy, AWQ, in_language=in_language)
        assert (checkpoint.quantization, checkpoint.quantization_group) == ("awq", 128)
        assert quantization_arguments(checkpoint, 1, {}) == {}

    def test_groups_are_not_torn_apart(self, copy: Path) -> None:
        """MLPs of 256 in groups of 128 spread over two, in groups of 256 they do not."""
        quantised(copy, AWQ).check_tensor_parallel(2)
        with pytest.raises(ConfigurationError, match=r"quantised in groups of 256.*spread over 1"):
            quantised(copy, AWQ | {"group_size": 256}).check_tensor_parallel(2)

    def test_bitsandbytes_without_its_plugin(self, copy: Path) -> None:
        with pytest.raises(ConfigurationError, match="Install vllm-bnb-plugin"):
            VllmEngine(quantised(copy, INT8))

    def test_bitsandbytes_with_its_plugin(
        self, copy: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(device_fit.importlib.util, "find_spec", lambda _: object())
        checkpoint = quantised(copy, INT8)
        expected = {"quantization": "bitsandbytes", "load_format": "bitsandbytes"}
        assert quantization_arguments(checkpoint, 1, {}) == expected
        with pytest.raises(ConfigurationError, match="cannot spread over several GPUs"):
            quantization_arguments(checkpoint, 2, {})

    @pytest.mark.parametrize("method", ["fp8", "fp8_per_block", "mxfp8", "nvfp4_per_token"])
    def test_what_a_cpu_cannot_compute(self, checkpoint: Checkpoint, method: str) -> None:
        with pytest.raises(
            ConfigurationError, match=r"CPUs cannot compute with it.*int8_per_channel_weight_only"
        ):
            check_quantization(checkpoint, {"quantization": method}, on_cpu=True)
        check_quantization(checkpoint, {"quantization": method}, on_cpu=False)

    def test_what_a_cpu_can(self, copy: Path) -> None:
        check_quantization(quantised(copy, AWQ), {}, on_cpu=True)

    def test_quantised_twice(self, copy: Path) -> None:
        with pytest.raises(ConfigurationError, match="quantised already, by awq"):
            VllmEngine(quantised(copy, AWQ), engine_args={"quantization": "fp8"})
