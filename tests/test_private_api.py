"""Names of Ray and vLLM that they do not promise to keep, and that this project uses: what an upgrade took away."""

from __future__ import annotations

import importlib
import inspect

import pytest

RAY, MODEL = "pipelines/ray_internals.py", "internvl_ops/models/vllm_plugin/model.py"
PLUGIN = "internvl_ops.models.vllm_plugin.model"  # imports vLLM's own InternVL, which wants torchvision otherwise
# Module, name in it, parameters that are given, and where it is used.
PRIVATE = [
    (
        "ray.data",
        "Dataset.map_batches_internal",
        ("fn_constructor_kwargs", "batch_size", "batch_format", "zero_copy_batch"),
        RAY,
    ),
    ("ray.data", "Dataset._from_parent", (), RAY),
    ("ray.data._internal.logical.interfaces", "LogicalPlan", (), RAY),
    (
        "ray.data._internal.logical.operators",
        "StreamingRepartition",
        ("target_num_rows_per_block", "input_dependencies", "ray_remote_args", "compute"),
        RAY,
    ),
    (
        "vllm.v1.worker.gpu_model_runner",
        "GPUModelRunner._bookkeeping_sync",
        (),
        "internvl_ops/models/vllm_plugin/cpu_draws.py",
    ),
    (PLUGIN, "_internvl.InternVLMultiModalProcessor._call_hf_processor", ("hf_data", "hf_kwargs"), MODEL),
    (
        PLUGIN,
        "_internvl.InternVLMultiModalProcessor._postprocess_hf_mm_data",
        ("mm_data", "hf_processor_mm_kwargs", "processed_data"),
        MODEL,
    ),
    (
        PLUGIN,
        "_internvl.InternVLMultiModalProcessor._get_prompt_updates",
        ("mm_items", "hf_processor_mm_kwargs", "out_mm_kwargs"),
        MODEL,
    ),
    (PLUGIN, "_internvl.InternVLDummyInputsBuilder", (), MODEL),
    ("vllm.inputs.engine", "mm_input", (), "internvl_ops/models/vllm_plugin/inputs.py"),
    ("vllm.inputs.engine", "tokens_input", (), "internvl_ops/engines/vllm.py"),
    ("vllm.entrypoints.launchers.api_server.entry", "main", (), "internvl_ops/serve.py"),
    ("vllm.config", "SchedulerConfig.encoder_cache_size", (), "internvl_ops/engines/vllm.py"),
]


@pytest.mark.parametrize(("module", "name", "parameters", "used_in"), PRIVATE)
def test_it_is_there(module: str, name: str, parameters: tuple[str, ...], used_in: str) -> None:
    gone = f"{module}.{name} is gone or has changed; {used_in} uses it: see docs/upgrading.md"
    try:
        found = importlib.import_module(module)
        for part in name.split("."):
            fields = getattr(found, "__dataclass_fields__", {})
            found = fields[part] if part in fields else getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise AssertionError(gone) from error
    if parameters:
        taken = inspect.signature(found).parameters
        assert set(parameters) <= set(taken) or any(p.kind is p.VAR_KEYWORD for p in taken.values()), gone
