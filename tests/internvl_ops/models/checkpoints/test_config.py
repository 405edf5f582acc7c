"""What a checkpoint's files say, and what is said of files that are wrong."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from internvl_ops.errors import ConfigurationError
from internvl_ops.models.checkpoints.config import load_checkpoint
from internvl_ops.models.templates.conversation_template import INTERNVL_2_5


@pytest.fixture
def copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint to damage."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))


def change(checkpoint: Path, **values: Any) -> None:
    path = checkpoint / "config.json"
    config = json.loads(path.read_text())
    for name, value in values.items():
        if value is None:
            config.pop(name)
        else:
            config[name] = value
    path.write_text(json.dumps(config))


class TestWhatIsRead:
    def test_everything_comes_from_the_config(self, tiny_checkpoint: Path) -> None:
        read = load_checkpoint(str(tiny_checkpoint))
        assert (read.template, read.system_message) == ("internvl2_5", INTERNVL_2_5)
        assert (read.tile_size, read.tokens_per_tile) == (112, 16)
        assert (read.min_tiles, read.max_tiles, read.use_thumbnail) == (1, 12, True)
        assert (read.context_length, read.backbone, read.layout) == (8192, "qwen2", "internvl_chat")
        assert (read.dtype, read.quantization) == ("bfloat16", None)
        assert read.weight_bytes == (tiny_checkpoint / "model.safetensors").stat().st_size
        # k and v, two bytes, two layers, one head of 64
        assert read.kv_bytes_per_token == 2 * 2 * 2 * 1 * 64

    def test_a_published_tile_is_256_tokens(self, copy: Path) -> None:
        change(copy, force_image_size=448)
        assert load_checkpoint(str(copy)).tokens_per_tile == 256

    def test_its_own_system_message_wins(self, copy: Path) -> None:
        change(copy, system_message="Say little.")
        assert load_checkpoint(str(copy)).system_message == "Say little."

    def test_an_empty_system_message_is_one_too(self, copy: Path) -> None:
        change(copy, system_message="")
        assert load_checkpoint(str(copy)).system_message == ""

    def test_without_dynamic_tiling_an_image_is_one_tile(self, copy: Path) -> None:
        change(copy, dynamic_image_size=False)
        read = load_checkpoint(str(copy))
        assert (read.min_tiles, read.max_tiles, read.use_thumbnail) == (1, 1, False)

    def test_quantisation_is_found_where_the_published_ones_have_it(self, copy: Path) -> None:
        language = json.loads((copy / "config.json").read_text())["llm_config"]
        change(copy, llm_config={**language, "quantization_config": {"quant_method": "awq"}})
        assert load_checkpoint(str(copy)).quantization == "awq"

    def test_it_travels_between_processes(self, tiny_checkpoint: Path) -> None:
        read = load_checkpoint(str(tiny_checkpoint))
        assert pickle.loads(pickle.dumps(read)) == read

    def test_reading_loads_neither_torch_nor_transformers(self, tiny_checkpoint: Path) -> None:
        code = (
            "import sys; from internvl_ops.models.checkpoints.config import load_checkpoint;"
            f" load_checkpoint({str(tiny_checkpoint)!r}); print(sorted({{'torch', 'transformers'}}"
            " & set(sys.modules)))"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert ran.stdout.strip() == "[]"


class TestTheLayoutOfTransformers:
    @pytest.fixture
    def native(self, copy: Path) -> Path:
        """The tiny checkpoint's config as transformers writes it; the weights are not looked at."""
        config = json.loads((copy / "config.json").read_text())
        vision = config["vision_config"] | {
            "image_size": [112, 112],
            "patch_size": [14, 14],
            "attention_bias": True,
        }
        del vision["qkv_bias"], vision["qk_normalization"]
        native = {
            "model_type": "internvl",
            "architectures": ["InternVLForConditionalGeneration"],
            "text_config": config["llm_config"],
            "vision_config": vision,
            "downsample_ratio": 0.5,
            "image_seq_length": 16,
            "dtype": "bfloat16",
        }
        (copy / "config.json").write_text(json.dumps(native))
        processor = {"crop_to_patches": True, "min_patches": 1, "max_patches": 6}
        (copy / "preprocessor_config.json").write_text(json.dumps(processor))
        return copy

    def test_it_says_the_same(self, native: Path, tiny_checkpoint: Path) -> None:
        ours, theirs = load_checkpoint(str(tiny_checkpoint)), load_checkpoint(str(native))
        assert theirs == replace(ours, model=str(native), layout="internvl", max_tiles=6)

    def test_its_image_processor_has_the_tile_limits(self, native: Path) -> None:
        (native / "preprocessor_config.json").write_text('{"crop_to_patches": false}')
        read = load_checkpoint(str(native))
        assert (read.min_tiles, read.max_tiles, read.use_thumbnail) == (1, 1, False)

    def test_the_backbone_says_the_template(self, native: Path) -> None:
        text = json.loads((native / "config.json").read_text())["text_config"]
        change(native, text_config=text | {"model_type": "gpt_oss"})
        assert load_checkpoint(str(native)).template == "internvl3_5_gpt_oss"


class TestWhatIsWrong:
    def refusal(self, model: Path | str) -> str:
        with pytest.raises(ConfigurationError) as refused:
            load_checkpoint(str(model))
        return str(refused.value)

    def test_no_config(self, copy: Path) -> None:
        (copy / "config.json").unlink()
        message = self.refusal(copy)
        assert str(copy) in message
        assert "no config.json" in message

    def test_a_file_instead_of_a_folder(self, copy: Path) -> None:
        assert "is a file" in self.refusal(copy / "model.safetensors")

    @pytest.mark.parametrize(
        "model", ["/no/such/folder", "./models/internvl", "model", "a/b/c", "~/internvl"]
    )
    def test_neither_folder_nor_hub_name(self, model: str) -> None:
        message = self.refusal(model)
        assert "no such folder" in message
        assert "OpenGVLab/InternVL2_5-1B" in message

    def test_another_architecture(self, copy: Path) -> None:
        change(copy, model_type="llava")
        message = self.refusal(copy)
        assert "'llava'" in message
        assert "'internvl_chat'" in message

    def test_the_chat_checkpoints_in_llavas_form(self, copy: Path) -> None:
        change(copy, model_type="llava", mm_vision_tower="OpenGVLab/InternViT-6B-224px")
        for model in (
            copy,
            "OpenGVLab/InternVL-Chat-ViT-6B-Vicuna-7B",
            "/m/InternVL-Chat-ViT-6B-Vicuna-13B-448px",
        ):
            message = self.refusal(model)
            assert "LLaVA's form, like InternVL-Chat-13B and -19B" in message
            assert "vicuna_v1.1" in message
            assert "Use OpenGVLab/InternVL-Chat-V1-1" in message

    def test_an_unknown_template(self, copy: Path) -> None:
        change(copy, template="vicuna")
        message = self.refusal(copy)
        assert "'vicuna'" in message
        assert "internvl2_5" in message

    def test_a_config_with_a_part_missing(self, copy: Path) -> None:
        change(copy, llm_config=None)
        assert "llm_config" in self.refusal(copy)

    def test_a_config_that_is_not_json(self, copy: Path) -> None:
        (copy / "config.json").write_text("<html>not found</html>")
        assert "cannot be read as JSON" in self.refusal(copy)

    def test_no_tokenizer(self, copy: Path) -> None:
        (copy / "tokenizer.json").unlink()
        assert "no tokenizer; looked for tokenizer.json" in self.refusal(copy)

    def test_no_weights(self, copy: Path) -> None:
        (copy / "model.safetensors").unlink()
        assert "no weights; looked for model.safetensors" in self.refusal(copy)

    def test_weights_that_are_cut_off(self, copy: Path) -> None:
        path = copy / "model.safetensors"
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        message = self.refusal(copy)
        assert (
            f"model.safetensors is {len(whole) - 1:,} bytes long, its header says {len(whole):,}"
            in message
        )

    @pytest.mark.parametrize(
        "content", [b"", b"short", b"<html>not found</html>", b"\x10" + bytes(7) + b"{" * 16]
    )
    def test_weights_that_are_something_else(self, copy: Path, content: bytes) -> None:
        (copy / "model.safetensors").write_bytes(content)
        assert "not a safetensors file" in self.refusal(copy)

    def test_adapters_that_were_not_merged(self, copy: Path) -> None:
        change(copy, use_llm_lora=16)
        load_checkpoint(str(copy))  # merged: the config of the published tool still says so
        (copy / "model.safetensors").rename(copy / "model-00001-of-00001.safetensors")
        name = (
            "language_model.base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight"
        )
        shards = {name: "model-00001-of-00001.safetensors"}
        (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
        assert "not merged" in self.refusal(copy)

    @pytest.mark.parametrize(
        ("size", "said"),
        [(3, "2 attention heads, which 3 does not divide"), (4, "2 attention heads")],
    )
    def test_a_tensor_parallel_size(self, tiny_checkpoint: Path, size: int, said: str) -> None:
        checkpoint = load_checkpoint(str(tiny_checkpoint))
        checkpoint.check_tensor_parallel(2)
        with pytest.raises(
            ConfigurationError, match=f"`tensor_parallel`={size}: .*{said}.*can be spread over 1, 2"
        ):
            checkpoint.check_tensor_parallel(size)

    def test_a_missing_shard(self, copy: Path) -> None:
        (copy / "model.safetensors").rename(copy / "model-00001-of-00002.safetensors")
        shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
        (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
        message = self.refusal(copy)
        assert "1 of 2" in message
        assert "model-00002-of-00002.safetensors" in message


class TestTheHub:
    def test_a_name_that_the_hub_does_not_give(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        code = (
            "from internvl_ops.models.checkpoints.config import load_checkpoint\n"
            "from internvl_ops.errors import ConfigurationError\n"
            "try: load_checkpoint('OpenGVLab/No-Such-Checkpoint')\n"
            "except ConfigurationError as error: print(error)"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert (
            "OpenGVLab/No-Such-Checkpoint: no such local folder, and the Hugging Face hub did not"
            in ran.stdout
        )
