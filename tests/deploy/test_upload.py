"""What `ray job submit --working-dir .` uploads from a checkout."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ray._private.runtime_env.packaging import create_package

ROOT = Path(__file__).parents[2]
MOST = 5e6  # bytes


def test_the_code_and_little_else_is_uploaded(tmp_path: Path) -> None:
    package = tmp_path / "package.zip"
    create_package(str(ROOT), package, include_gitignore=True)
    with zipfile.ZipFile(package) as files:
        top = {name.split("/")[0] for name in files.namelist()}
    assert {"internvl_batch", "internvl_ops", "pipelines", "jobs"} <= top
    assert not top & {".git", ".venv", "tests", "benchmarks", "build"}
    assert package.stat().st_size < MOST
