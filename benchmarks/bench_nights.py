"""What a night costs in a year of nights: one per cent of the first night's documents are new each
night.

The manifest grows; no row leaves it. Everything around the engine is real: the ledger is filled
from the output, files are fetched and split in the sandbox, rows are written, documents are made.
In place of an engine stands the same text for each page. The rival does what this project did
before: each night it fetches and splits every document of the manifest again, and makes every
document anew.

    python -m benchmarks.bench_nights --documents 1000 --scratch /tmp/nights
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from benchmarks.records import record, write
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.parts import DecodeOptions, Part
from internvl_ops.media_reader import MediaReader, ReadLimits
from internvl_ops.preparer import Unit
from internvl_ops.tasks import TEXT, ocr
from pipelines import columns as c
from pipelines.ledger.ledger import Counts, Ledger
from pipelines.output.documented import DOCUMENTED
from pipelines.output.documents import write_documents
from pipelines.output.folder import OutputFolder
from pipelines.output.result_columns import MEASURE_COLUMNS, own_columns, result_schema
from pipelines.output.resume import load_output
from pipelines.output.writer import Writer
from pipelines.stages.explode import Explode
from pipelines.stages.read import claim
from testing.corpus_documents import Document, make

PAGES = 3
MEASURED = (1, 10, 100, 365)
BLOCK = 256  # rows that are claimed together
TASK = ocr()
SCHEMA = result_schema(
    pa.schema([("document", pa.string())]),
    TASK,
    own_columns(TASK, TEXT.columns(TASK.columns), MEASURE_COLUMNS["document", True]),
)


class CountingReader(MediaReader):
    """A reader that counts the files that it lists."""

    listed = 0

    def list_parts(self, unit: Unit) -> list[Part]:
        self.listed += 1
        return super().list_parts(unit)  # type: ignore[return-value]


def manifest(file: Path, documents: int) -> Iterator[pa.Table]:
    """The rows of a night; every document is the same file under an id of its own."""
    for start in range(0, documents, BLOCK):
        numbers = range(start, min(start + BLOCK, documents))
        yield pa.table(
            {
                c.ID: pa.array([f"documents/{number:08d}.pdf" for number in numbers]),
                "document": pa.array([str(file)] * len(numbers)),
                c.SOURCE: pa.array([f"m.parquet:{number}" for number in numbers]),
                c.POSITION: pa.array(numbers, pa.int64()),
                c.MEDIA: pa.array(
                    [[{"uri": str(file), "bytes": None}]] * len(numbers), c.MEDIA_TYPE
                ),
                c.ERROR: pa.nulls(len(numbers), c.ERROR_TYPE),
            }
        )


def answered(pages: pa.Table) -> pa.Table:
    """Pages as they leave the last stage, each with the same answer."""
    values = {
        "response": "what stands on the page",
        "text": "what stands on the page",
        "finish_reason": "stop",
    }
    for name, type_ in zip(SCHEMA.names, SCHEMA.types, strict=True):
        if name not in pages.column_names:
            pages = pages.append_column(name, pa.array([values.get(name)] * len(pages), type_))
    return pages


def night(
    output: OutputFolder,
    file: Path,
    reader: CountingReader,
    documents: int,
    number: int,
    *,
    all_again: bool = False,
) -> tuple[Counts, int]:
    """One run. Returns the counts of its units, and how many documents it made."""
    run_id = f"20260101T{number:06d}-000000"
    ledger = Ledger()
    load_output(ledger, output, retry_errors=False, whole_files=not all_again)
    explode = Explode(lambda: reader, ledger)
    with Writer(output, ledger, SCHEMA, run_id=run_id, model="none") as writer:
        for rows in manifest(file, documents):
            pages = explode(claim(rows, ledger))
            assert isinstance(pages, pa.Table), "the files are not inline"
            if len(pages):
                writer.add(answered(pages))
    return ledger.counts(), write_documents(output, "text", "parquet", run_id)


def timed(*arguments: object, **options: object) -> tuple[float, Counts, int]:
    clock = time.perf_counter()
    counts, made = night(*arguments, **options)  # type: ignore[arg-type]
    return time.perf_counter() - clock, counts, made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=1000, help="documents of the first night")
    parser.add_argument("--scratch", type=Path, default=Path("/tmp/bench-nights"))
    arguments = parser.parse_args()
    shutil.rmtree(arguments.scratch, ignore_errors=True)
    arguments.scratch.mkdir(parents=True)
    file = arguments.scratch / "document.pdf"
    file.write_bytes(make(Document(pages=PAGES)))
    new = max(1, arguments.documents // 100)
    output = OutputFolder(str(arguments.scratch / "output"))
    reader = CountingReader(
        ReadPolicy(str(arguments.scratch)), DecodeOptions(kind="document"), ReadLimits()
    )
    records = []
    for number in range(1, MEASURED[-1] + 1):
        documents = arguments.documents + (number - 1) * new
        reader.listed = 0
        seconds, counts, made = timed(output, file, reader, documents, number)
        tonight = arguments.documents if number == 1 else new
        assert counts.results == tonight * PAGES
        assert made == reader.listed == tonight
        if number in MEASURED:
            listed = reader.listed
            before, got, _ = timed(
                copied(output), file, reader, documents, number + 1000, all_again=True
            )
            assert got.already_done == documents * PAGES
            records.append(
                record(
                    f"night {number}",
                    "s",
                    seconds,
                    rival_name="every document fetched, split and made again",
                    rival=before,
                    expected=documents * PAGES,
                    got=counts.results + counts.already_done,
                    less_is_better=True,
                    documents=documents,
                    new_documents=tonight,
                    fetched=listed,
                )
            )
            print(
                f"night {number}: {documents:,} documents, {seconds:.2f} s, {before:.2f} s before",
                flush=True,
            )
    reader.close()
    shutil.rmtree(arguments.scratch)
    if arguments.documents >= 500:  # fewer are for trying it
        write("nights", records)


def copied(output: OutputFolder) -> OutputFolder:
    """A copy of an output that nothing says about which documents are made."""
    target = Path(f"{output.uri}-again")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(output.uri, target)
    (target / DOCUMENTED).unlink()
    return OutputFolder(str(target))


if __name__ == "__main__":
    main()
