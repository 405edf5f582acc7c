"""How settings are called on the command line: ``max_tiles`` is ``--max-tiles``.

Messages of `internvl_ops` name keyword arguments. `in_flags` spells them as options, at each place
where a person who runs a job reads a message: the last line of a job that cannot start, the log,
``errors/``, ``run.json``.
"""

from __future__ import annotations

from internvl_ops.errors import respelled

# Options that have another name than the keyword arguments which they set.
_OPTIONS = {
    "base": "input",
    "decode_memory_mib": "decode_memory",
    "decode_timeout_s": "decode_timeout",
    "format": "ocr_format",
    "headers": "http_header",
    "length_s": "clip_seconds",
    "logprobs": "log_probs",
    "max_seconds": "max_video_seconds",
    "password": "pdf_password",
    "phrases": "phrase",
    "tensor_parallel": "gpus_per_engine",
}


def option_of(keyword: str) -> str:
    """Name of the option that sets a keyword argument of `internvl_ops`."""
    return _OPTIONS.get(keyword, keyword)


def flag(option: str) -> str:
    """An option as on the command line."""
    return "--" + option.replace("_", "-")


def in_flags(text: str) -> str:
    """``text`` with each `internvl_ops.errors.keyword` as an option: ``--max-tiles 12``."""
    return respelled(text, lambda keyword, valued: flag(option_of(keyword)) + " " * valued)
