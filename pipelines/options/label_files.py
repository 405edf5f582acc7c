"""Files that say what labels there are, and rows with the truth about them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import yaml

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.tasks.calibration import FEWEST_ROWS, Calibration, fit
from internvl_ops.tasks.labelling import labels_of
from pipelines.sources.storage import check_scheme, kind_of, lists, open_input, suffix_of, walk

_LARGEST_TAXONOMY = 8 << 20  # bytes
_SETTINGS = b"settings"  # as in `pipelines.output.settings`


def read_labels(given: Sequence[str], taxonomy: str | None) -> dict[str, str]:
    """The labels with their descriptions, by ``--labels`` or ``--taxonomy``.

    Raises:
        ConfigurationError: The file cannot be read, or holds no labels.
    """
    if taxonomy is None:
        names = [" ".join(label.split()) for label in given]
        if len(set(names)) < len(names) or not all(names):
            raise ConfigurationError(
                f"--labels {' '.join(given)}: give each label once, and none that is empty."
            )
        return dict.fromkeys(names, "")
    said = f"--taxonomy {safe_uri(taxonomy)}"
    try:
        with open_input(check_scheme("--taxonomy", taxonomy)) as file:
            text = file.read(_LARGEST_TAXONOMY + 1)
        if len(text) > _LARGEST_TAXONOMY:
            raise ConfigurationError(f"{said}: larger than {_LARGEST_TAXONOMY >> 20} MiB.")
        return labels_of(yaml.safe_load(text.decode()))  # JSON is YAML
    except OSError as error:
        raise ConfigurationError(f"{said}: {error}. Look at the path.") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{said}: not YAML or JSON: {error}") from None


def calibration_of(options: Any, labels: Mapping[str, str]) -> Calibration | None:
    """What ``--calibrate`` corrects; None without it.

    Raises:
        ConfigurationError: The file cannot be read, lacks a column, or has too few rows with a
            truth.
    """
    if options.calibrate is None:
        return None
    said = f"--calibrate {safe_uri(options.calibrate)}"
    names = list(labels)
    chances, truths = [], []
    for row in _labelled(options.calibrate, options.truth_column, said):
        known = {one["label"]: one["probability"] for one in row["labels"] or []}
        truth = true_labels(row["truth"], several=options.multi)
        if truth is None or set(known) != set(names) or not truth <= set(names):
            continue
        chances.append([known[name] for name in names])
        truths.append([float(name in truth) for name in names])
    if len(chances) < FEWEST_ROWS:
        raise ConfigurationError(
            f"{said}: {len(chances)} rows have the same labels as this job and a truth among them;"
            f" at least {FEWEST_ROWS} are needed."
        )
    return fit(np.array(chances), np.array(truths), several=options.multi)


def true_labels(value: Any, *, several: bool) -> set[str] | None:
    """The true labels of a row; None if the row does not say."""
    if isinstance(value, str) and several and value.lstrip().startswith("["):
        try:
            value = json.loads(value)  # the form in which a CSV holds a list
        except ValueError:
            return None
    if isinstance(value, list):
        return {str(one) for one in value} if several else None
    return None if value is None or value == "" else {str(value)}


def _labelled(uri: str, truth_column: str, said: str) -> list[dict[str, Any]]:
    """Rows with ``labels`` and ``truth``."""
    plain = check_scheme("--calibrate", uri)
    try:
        rows = [row for name in _files(plain, said) for row in _table(name, truth_column, said)]
    except (OSError, pa.ArrowException, ValueError) as error:
        raise ConfigurationError(f"{said}: cannot be read: {error}") from None
    return rows


def _files(uri: str, said: str) -> list[str]:
    kind = kind_of(uri)
    if kind is None:
        raise ConfigurationError(f"{said}: does not exist. Look at the path.")
    if kind == "file" or not lists(uri):
        return [uri]
    folder = f"{uri}/results" if kind_of(f"{uri}/results") == "directory" else uri
    return sorted(
        f"{folder}/{name}"
        for name in walk(folder, recursive=False)
        if suffix_of(name) == ".parquet"
    )


def _table(uri: str, truth_column: str, said: str) -> list[dict[str, Any]]:
    with open_input(uri) as file:
        if suffix_of(uri) in (".csv", ".tsv"):
            delimiter = "\t" if suffix_of(uri) == ".tsv" else ","
            table = pyarrow.csv.read_csv(
                file, parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter)
            )
        else:
            table = pq.read_table(file)
    settings = json.loads((table.schema.metadata or {}).get(_SETTINGS, b"{}"))
    if isinstance(settings.get("calibrate"), dict):
        raise ConfigurationError(
            f"{said}: its probabilities are calibrated already. Give the output of a run without"
            " --calibrate."
        )
    truth = carried_name(truth_column, table.column_names)
    for name in ("labels", truth):
        if name not in table.column_names:
            raise ConfigurationError(
                f"{said}: no column '{name}'. Columns there: {', '.join(table.column_names)}. Give"
                " the output of the command classify over a manifest that has the truth."
            )
    rows = table.select(["labels", truth]).rename_columns(["labels", "truth"]).to_pylist()
    return [row | {"labels": _as_list(row["labels"], said)} for row in rows]


def carried_name(column: str, names: Sequence[str]) -> str:
    """The name in results of a manifest's column: that of a job's own column is taken."""
    renamed = f"manifest_{column}"
    return renamed if renamed in names else column


def _as_list(value: Any, said: str) -> list[dict[str, Any]]:
    if isinstance(value, str):  # the form in which a CSV holds it
        value = json.loads(value)
    for one in value or ():
        if not isinstance(one, dict) or not {"label", "probability"} <= one.keys():
            raise ConfigurationError(
                f"{said}: column 'labels' holds {one!r:.80}; label and probability are needed."
            )
    return value or []
