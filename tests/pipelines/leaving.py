"""A job whose engine leaves files in its temporary folder, as libraries do; for tests of what stays
on a node."""

from __future__ import annotations

import asyncio
import functools
import sys
import tempfile
from pathlib import Path

from internvl_ops.engines.base import Completion, Request, Sampling, Watch
from pipelines import annotate
from pipelines.commands.job import check_job
from pipelines.options.tasks import job_options
from pipelines.options.tasks.ask import make_ask
from testing.stand_in import StandInEngine


class StandInThatLeavesFiles(StandInEngine):
    """Says that it was asked by the file ``asked``, and answers once the file ``hold`` is gone."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    async def generate(
        self, request: Request, sampling: Sampling, watch: Watch | None = None
    ) -> Completion:
        Path(tempfile.mkdtemp(prefix="left-"), "socket").touch()
        (self._folder / "asked").touch()
        while (self._folder / "hold").exists():
            await asyncio.sleep(0.05)
        return await super().generate(request, sampling, watch)


def main(folder: Path, model: str, address: str) -> None:
    """Runs one question on the cluster at ``address``."""
    manifest = folder / "questions.jsonl"
    manifest.write_text('{"id": "1", "question": "Why?"}\n')
    options = job_options("ask")(
        input=str(manifest),
        output=str(folder / "out"),
        model=model,
        max_new_tokens=8,
        retries=0,
        ray_address=address,
        gpus_per_engine=0,
    )
    annotate.engine_maker = lambda *_: functools.partial(  # type: ignore[attr-defined]
        StandInThatLeavesFiles, folder
    )
    record = annotate.annotate(options, *check_job(options, make_ask))
    sys.exit(0 if record.ended == "done" and record.totals.results == 1 else 1)


if __name__ == "__main__":
    from tests.pipelines import leaving  # as the workers import it

    leaving.main(Path(sys.argv[1]), *sys.argv[2:])
