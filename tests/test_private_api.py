"""Names of Ray and vLLM that they do not promise to keep, and that this project uses: what an
upgrade took away."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from pipelines.ray_internals import READ_AHEAD

ROOT = Path(__file__).parents[1]

RAY, MODEL = "pipelines/ray_internals.py", "internvl_ops/models/vllm_plugin/model.py"
ENGINE = "internvl_ops/engines/vllm.py"
POOLING = "internvl_ops/engines/vllm_vectors.py"
# imports vLLM's own InternVL, which wants torchvision otherwise
PLUGIN = "internvl_ops.models.vllm_plugin.model"
# Module, name in it, parameters that are given, and where it is used.
PRIVATE = [
    (
        "ray.data",
        "Dataset.map_batches_internal",
        ("fn_constructor_kwargs", "batch_size", "batch_format", "zero_copy_batch"),
        RAY,
    ),
    ("ray.data", "Dataset._from_parent", (), RAY),
    ("ray.data", "Dataset._execute_to_iterator", (), RAY),
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
    (
        PLUGIN,
        "_internvl.InternVLMultiModalProcessor._call_hf_processor",
        ("hf_data", "hf_kwargs"),
        MODEL,
    ),
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
    ("vllm.inputs.engine", "tokens_input", (), ENGINE),
    ("vllm.v1.engine.async_llm", "AsyncLLM.from_vllm_config", ("disable_log_stats",), ENGINE),
    (
        "vllm.v1.engine.async_llm",
        "AsyncLLM.encode",
        ("prompt", "pooling_params", "request_id"),
        POOLING,
    ),
    ("vllm.config", "PoolerConfig.seq_pooling_type", (), POOLING),
    ("vllm.config", "PoolerConfig.tok_pooling_type", (), POOLING),
    (
        PLUGIN,
        "_internvl.InternVLProcessingInfo.get_mm_max_tokens_per_item",
        ("seq_len", "mm_counts"),
        MODEL,
    ),
    (PLUGIN, "_internvl.InternVLMultiModalProcessor.get_dummy_mm_inputs", ("mm_counts",), MODEL),
    (PLUGIN, "_internvl.InternVLChatModel.extract_feature", ("pixel_values",), MODEL),
    ("vllm.entrypoints.launchers.api_server.entry", "main", (), "internvl_ops/serve.py"),
    ("vllm.config", "SchedulerConfig.encoder_cache_size", (), ENGINE),
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
        assert set(parameters) <= set(taken) or any(
            p.kind is p.VAR_KEYWORD for p in taken.values()
        ), gone


def test_ray_takes_the_option_of_how_far_a_reader_runs_ahead() -> None:
    ray.remote(**READ_AHEAD)(lambda: None)  # an unknown option is an error


def imported() -> Iterator[tuple[str, str, str]]:
    """Module, name and place of all that is imported from inside Ray and vLLM, wherever in a
    file."""
    for folder in ("internvl_ops", "pipelines", "benchmarks", "testing", "tests"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if not isinstance(node, ast.ImportFrom) or not node.module or node.level:
                    continue
                if node.module.split(".")[0] in ("ray", "vllm"):
                    place = f"{file.relative_to(ROOT)}:{node.lineno}"
                    yield from ((node.module, name.name, place) for name in node.names)


def test_all_that_is_imported_is_there() -> None:
    importlib.import_module(PLUGIN)
    gone = []
    for module, name, place in imported():
        try:
            found = importlib.import_module(module)
            if not hasattr(found, name):
                importlib.import_module(f"{module}.{name}")
        except ImportError as error:
            gone.append(f"{place}: from {module} import {name}: {error}")
    assert not gone, "\n".join(gone)


@pytest.mark.parametrize(
    "name", sorted({name.split(".")[-1] for _, name, _, _ in PRIVATE} - {"main"})
)
def test_the_page_on_upgrades_names_it(name: str) -> None:
    assert f"{name}`" in (ROOT / "docs" / "upgrading.md").read_text()
