"""The output of the command `embed`, as vectors with their ids."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from internvl_ops.models.checkpoints.places import is_same_version
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.tasks.embedding import VECTOR, VECTORS
from pipelines.output.folder import RESULTS, OutputFolder
from pipelines.output.settings import METADATA_KEY, WEIGHTS

# what a query is made with, as the vectors were
_SPACE = ("engine", "pooling", "fit", "text_prefix", "max_tiles", "resize")


class Embedded:
    """An output of the command `embed`.

    Args:
        option: The option that names it, for messages.
        uri: Where it is.

    Raises:
        ConfigurationError: It holds no vectors.
    """

    def __init__(self, option: str, uri: str) -> None:
        self.folder, self._said = OutputFolder(uri), f"{option} {safe_uri(uri)}"
        self.folder.check_listable(self._said)
        self.files = self.folder.files(RESULTS)
        if not self.files:
            raise ConfigurationError(
                f"{self._said} holds no results. Name the --output of the command embed."
            )
        schema = self.folder.read_schema(self.files[-1])
        kind = schema.field(VECTOR).type if VECTOR in schema.names else None
        if VECTORS in schema.names:
            raise ConfigurationError(
                f"{self._said} holds a vector of each token (pooling none), and a search compares"
                " one of each unit. Make an output with another --pooling."
            )
        if kind is None or not pa.types.is_fixed_size_list(kind):
            raise ConfigurationError(
                f"{self._said}: its results have no vectors, only {', '.join(schema.names[:8])} …."
                " Name the --output of the command embed."
            )
        self.size = kind.list_size
        self.columns = schema.names
        self.settings: dict[str, Any] = json.loads((schema.metadata or {}).get(METADATA_KEY, b"{}"))

    def tables(self, *columns: str) -> Iterator[tuple[pa.Table, np.ndarray]]:
        """The rows with a vector, file by file: the columns ``id`` and those named, and the vectors
        as float32."""
        for _, table in self.folder.read_tables(
            RESULTS, ["id", VECTOR], optional=columns, only=self.files
        ):
            rows = table.filter(table[VECTOR].is_valid())
            vectors = rows[VECTOR].combine_chunks()
            flat = np.asarray(vectors.flatten().to_numpy(zero_copy_only=False), np.float32)
            yield rows.drop_columns([VECTOR]), flat.reshape(len(rows), self.size)

    def of_ids(self, ids: tuple[str, ...]) -> np.ndarray:
        """The vectors of these units, in their order.

        Raises:
            ConfigurationError: There is no such unit.
        """
        found: dict[str, np.ndarray] = {}
        for rows, vectors in self.tables():
            names = rows["id"].to_pylist()
            found |= {name: vectors[place] for place, name in enumerate(names) if name in ids}
        if missing := [name for name in ids if name not in found]:
            raise ConfigurationError(
                f"--query-id {missing[0]}: no unit of {self._said} has this id."
            )
        return np.stack([found[name] for name in ids])

    def check_same_space(self, other: Embedded) -> None:
        """Refuses to compare vectors of different models.

        Raises:
            ConfigurationError: Naming what differs.
        """
        if self.size != other.size:
            raise ConfigurationError(
                f"{other._said} holds vectors of {other.size} numbers; {self._said} of {self.size}."
            )
        for name in ("pooling", WEIGHTS):
            one, two = self.settings.get(name), other.settings.get(name)
            same = is_same_version(str(one), str(two)) if name == WEIGHTS else one == two
            if not same:
                raise ConfigurationError(
                    f"{other._said} and {self._said} do not share a space: {name} {two!r:.80}"
                    f" there, {one!r:.80} here. Make both with the same --model and --pooling."
                )

    def making(self) -> dict[str, Any]:
        """The options with which its vectors were made, as far as a query needs them."""
        known = {
            name: self.settings[name] for name in _SPACE if self.settings.get(name) is not None
        }
        # Long values are kept shortened with a digest; a prefix of such a length is nobody's.
        return {name: value for name, value in known.items() if not isinstance(value, dict)}
