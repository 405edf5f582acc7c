"""Names of engine arguments, read from the source files of the installed libraries; importing them
takes too long."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from internvl_ops.errors import ConfigurationError, keyword

# Where the arguments are described, of engines with too many to name.
_LISTED = {
    "vllm": "vLLM's documentation of EngineArgs lists its arguments.",
    "transformers": "Its arguments are those of transformers' from_pretrained.",
}


def check_names(engine: str, given: Iterable[str], known: Collection[str]) -> None:
    """Refuses names that the engine does not have.

    Args:
        engine: The engine's name, such as ``vllm``.
        given: Names in ``engine_args``.
        known: Names that the engine has; if empty, nothing is refused.

    Raises:
        ConfigurationError: A name is unknown; the message suggests the nearest known name.
    """
    for name in given:
        if not known or name in known:
            continue
        close = difflib.get_close_matches(name.replace("-", "_"), known, 1)
        few = f" Allowed are {', '.join(known)}." if len(known) < 20 else ""
        mend = (
            f" Did you mean {close[0]!r}?"
            if close
            else few or f" {_LISTED.get(engine, '')}".rstrip()
        )
        said = f"{keyword('engine_args')}: {name!r} is no argument of {keyword('engine', engine)}"
        raise ConfigurationError(f"{said}.{mend}")


def vllm_names() -> list[str]:
    """Fields of the installed vLLM's ``EngineArgs`` and ``AsyncEngineArgs``; empty if vLLM is not
    installed."""
    text = _source("vllm", "engine/arg_utils.py")
    if text is None:
        return []
    classes = [
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef) and "EngineArgs" in node.name
    ]
    return [
        field.target.id
        for one in classes
        for field in one.body
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and field.target.id != "model"
    ]


def transformers_names() -> list[str]:
    """Arguments of the installed transformers' ``PreTrainedModel.from_pretrained``."""
    text = _source("transformers", "modeling_utils.py")
    _, found, rest = (text or "").partition("    def from_pretrained(")
    if not found:
        return []
    body = rest.partition("\n    def ")[0]
    signature = re.findall(r"^        (\w+):", body.partition(")")[0], re.MULTILINE)
    taken = re.findall(r'kwargs\.pop\(\s*"([a-z]\w*)"', body)
    names = [*signature, *taken, "attn_implementation", "experts_implementation"]
    return [name for name in dict.fromkeys(names) if name not in ("cls", "output_loading_info")]


def _source(package: str, path: str) -> str | None:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / path
    return file.read_text(encoding="utf-8") if file.is_file() else None
