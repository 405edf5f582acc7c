"""Reading a job's output back as its users do."""

from __future__ import annotations

from pathlib import Path

import pandas as pd


def read_output(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """``results/`` and ``errors/`` of a local output folder; empty frames where there is no
    file."""
    return tuple(
        pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
        if files
        else pd.DataFrame()
        for files in (sorted(folder.glob(f"{name}/*.parquet")) for name in ("results", "errors"))
    )
