"""The files of a benchmark: which ones hold the questions, which the answers."""

from __future__ import annotations

from typing import Any

from internvl_ops.errors import ConfigurationError
from internvl_ops.evaluation import BENCHMARKS, Benchmark
from internvl_ops.media.sniff import IMAGE_SUFFIXES
from internvl_ops.stores.redaction import safe_uri
from pipelines.commands.benchmark_rows import read_annotations
from pipelines.sources.listing import MANIFEST_SUFFIXES
from pipelines.sources.storage import has_magic, kind_of, suffix_of, walk

TABLES = ("parquet", "jsonl", "csv")  # formats of manifests that can hold a benchmark


def has_published_folders(benchmark: Benchmark, root: str | None) -> bool:
    """Whether media lie below ``--media-root`` in the folders in which the benchmark publishes
    them."""
    if root is None:
        return False
    return any(
        kind_of(f"{root.rstrip('/')}/{folder}") == "directory" for folder in benchmark.folders
    )


def files_of(options: Any) -> dict[str, str]:
    """The files to read and their format: in a directory only the tables of the split, not the
    images beside them."""
    uri = options.input.rstrip("/")
    if has_magic(uri) or kind_of(uri) != "directory":
        return {"uri": options.input, "format": options.input_format}
    names = list(walk(uri, recursive=True))
    held = [
        kind for kind in TABLES if any(suffix_of(name) in MANIFEST_SUFFIXES[kind] for name in names)
    ]
    found = {
        "uri": uri,
        "format": (
            held[0] if options.input_format == "auto" and len(held) == 1 else options.input_format
        ),
    }
    if not held and options.input_format == "auto" and BENCHMARKS[options.benchmark].truths:
        return {"uri": uri, "format": "files"}
    if options.split is None:
        return found
    tables = [
        name for name in names if any(suffix_of(name) in MANIFEST_SUFFIXES[kind] for kind in held)
    ]
    if not any(options.split in name.rpartition("/")[2] for name in tables):
        known = ", ".join(BENCHMARKS[options.benchmark].splits) or "none by name"
        raise ConfigurationError(
            f"--split {options.split}: none of the files in {options.input} has it in its name:"
            f" {', '.join(tables[:10]) or 'there are none'}. Splits of {options.benchmark}:"
            f" {known}. Or name the file itself as --input."
        )
    return found | {"uri": f"{uri}/**/*{options.split}*"}


def truth_suffix(options: Any, benchmark: Benchmark) -> str:
    """The suffix of the files in a folder that hold the right answers beside its images: that of
    the most images.

    Raises:
        ConfigurationError: There is none.
    """
    if not benchmark.truths:
        raise ConfigurationError(
            f"--input-format {options.input_format}: --benchmark {options.benchmark} reads a table"
            " of questions, such as JSONL or Parquet. Leave the option out."
        )
    if kind_of(options.input.rstrip("/")) != "directory":
        raise ConfigurationError(
            f"--input {safe_uri(options.input)}: with --input-format {options.input_format}, name"
            " the folder of the images and of the texts beside them."
        )
    names = set(walk(options.input.rstrip("/"), recursive=True))
    stems = {name.rpartition(".")[0] for name in names if suffix_of(name) in IMAGE_SUFFIXES}
    found = {
        suffix: sum(f"{stem}{suffix}" in names for stem in stems) for suffix in benchmark.truths
    }
    suffix = max(found, key=lambda suffix: found[suffix], default="")
    if not found.get(suffix):
        raise ConfigurationError(
            f"--input {safe_uri(options.input)}: the folder has no table, and no text beside an"
            " image. Put what a.png says into"
            f" {' or '.join(f'a{suffix}' for suffix in benchmark.truths)}."
        )
    return suffix


def annotations_of(uri: str | None) -> dict[str, list[str]]:
    if uri is None:
        return {}
    try:
        import fsspec

        with fsspec.open(uri, "rb") as file:
            text = file.read()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"--annotations {safe_uri(uri)}: {error}") from None
    return read_annotations(safe_uri(uri), text)
