"""Encoders of texts alone: what their published files say, without loading torch or transformers.

Such checkpoints are published as sentence-transformers writes them: ``modules.json`` names the
folders of further steps, of which the pooling has a config of its own. A checkpoint without these
files is pooled by what vLLM would take: the class token of a model that reads in both directions,
the last token of one that reads from left to right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from internvl_ops.errors import ConfigurationError, keyword
from internvl_ops.models.checkpoints import weights
from internvl_ops.models.checkpoints.json_files import read_json
from internvl_ops.models.checkpoints.places import place_of
from internvl_ops.models.encoders.config import Encoder, Pooling

_MODES: dict[str, Pooling] = {
    "pooling_mode_cls_token": "class",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "last",
}
# Their positions begin behind that of the padding token: two fewer tokens than positions.
_OFFSET_POSITIONS = {"roberta": 2, "xlm-roberta": 2, "camembert": 2}
_OURS = ("internvl_chat", "internvl", "intern_vit_6b")
_NO_LIMIT = 1_000_000  # transformers writes 10**30 where a tokenizer has no limit


def load_text_encoder(model: str, revision: str | None = None) -> Encoder:
    """Reads the files of an encoder of texts, for vLLM.

    Args:
        model: As in `load_encoder`.
        revision: As in `load_encoder`.

    Raises:
        ConfigurationError: It has pictures too, its files are not as published, or some are
            missing.
    """
    place = place_of(model, revision)
    folder = place.configs()
    config = read_json(folder / "config.json")
    kind = str(config.get("model_type"))
    if kind in _OURS:
        raise ConfigurationError(
            f"{keyword('model', model)}: config.json has model_type {kind!r}, which"
            f" {keyword('engine', 'torch')} embeds, texts of InternVL-14B-224px too."
        )
    if not (folder / "tokenizer.json").is_file():
        raise ConfigurationError(
            f"{keyword('model', model)}: it has no tokenizer.json, by which texts become tokens."
            " Download it again, or save its tokenizer with transformers."
        )
    if Path(model).is_dir():
        weights.check_weights(folder, model)
    try:
        size = _size(folder, config)
        usual = _pooling(model, folder, config)
        others: tuple[Pooling, ...] = ("class", "mean", "last")
        return Encoder(
            model=model,
            layout="text",
            config=config,
            tile_size=1,
            sizes={
                usual: size,
                **{one: size for one in others if one != usual},
                "none": int(config["hidden_size"]),
            },
            fit="stretch",
            use_thumbnail=False,
            dtype=str(config.get("torch_dtype") or config.get("dtype") or "float32"),
            longest=_longest(folder, config, kind),
            place=place,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{keyword('model', model)}: its files are not as published: {type(error).__name__}"
            f" {error}. Download the checkpoint again."
        ) from error


def served_encoder(model: str, size: int) -> Encoder:
    """What a server runs, of which only the length of a vector is known.

    Args:
        model: The server's name for it.
        size: Length of a vector.
    """
    return Encoder(
        model=model,
        layout="served",
        config={},
        tile_size=1,
        sizes={"server": size},
        fit="stretch",
        use_thumbnail=False,
        dtype="",
    )


def _modules(folder: Path) -> dict[str, str]:
    """The folders of its steps by the last word of their types, such as ``Pooling``."""
    path = folder / "modules.json"
    if not path.is_file():
        return {}
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigurationError(
            f"{path}: cannot be read as JSON: {error}. Download it again."
        ) from error
    return {str(one["type"]).rpartition(".")[2]: str(one["path"]) for one in found}


def _size(folder: Path, config: Mapping[str, Any]) -> int:
    """Length of a vector: of the last dense layer behind the pooling, if there is one."""
    dense = _modules(folder).get("Dense")
    if dense is None:
        return int(config["hidden_size"])
    return int(read_json(folder / dense / "config.json")["out_features"])


def _pooling(model: str, folder: Path, config: Mapping[str, Any]) -> Pooling:
    inner = _modules(folder).get("Pooling")
    if inner is None:
        (architecture,) = config["architectures"]
        return "last" if str(architecture).endswith("ForCausalLM") else "class"
    said = read_json(folder / inner / "config.json")
    chosen = [name for name, value in said.items() if name.startswith("pooling_mode") and value]
    if len(chosen) != 1 or chosen[0] not in _MODES:
        raise ConfigurationError(
            f"{keyword('model', model)}: {inner}/config.json pools by {', '.join(chosen)}; vLLM"
            f" pools by one of {', '.join(_MODES)}."
        )
    return _MODES[chosen[0]]


def _longest(folder: Path, config: Mapping[str, Any], kind: str) -> int:
    limits = [int(config["max_position_embeddings"]) - _OFFSET_POSITIONS.get(kind, 0)]
    for file, key in (
        ("sentence_bert_config.json", "max_seq_length"),
        ("tokenizer_config.json", "model_max_length"),
    ):
        said = read_json(folder / file).get(key) if (folder / file).is_file() else None
        limits += [int(said)] if said and int(said) < _NO_LIMIT else []
    return min(limits)
