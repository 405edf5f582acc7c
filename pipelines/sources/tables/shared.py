"""What the readers of tables share."""

from __future__ import annotations

import os

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.stores.schemes import scheme_of, split_uri
from pipelines.sources.storage import check_scheme, is_local

SNAPSHOT = "snapshot"  # key in the details of a plan: the state of the table that is read


def check_inside(root: str, uri: str) -> None:
    """Refuses a file of a table that lies elsewhere: who wrote the table may not choose what else
    is read.

    Args:
        root: The folder of the table.
        uri: A file that the table names.

    Raises:
        ConfigurationError: The file is in another store or bucket, or not below a local table.
    """
    plain = check_scheme("--input", uri)
    if is_local(root):
        inside = is_local(plain) and os.path.realpath(plain).startswith(
            f"{os.path.realpath(root)}{os.sep}"
        )
    else:
        inside = scheme_of(plain) is scheme_of(root) and split_uri(plain)[0] == split_uri(root)[0]
    if not inside:
        raise ConfigurationError(
            f"--input {safe_uri(root)}: the table names a file elsewhere, {safe_uri(uri)}. Only"
            f" tables whose files lie {'in their folder' if is_local(root) else 'in their bucket'}"
            " are read. Was it copied? Give the original."
        )
