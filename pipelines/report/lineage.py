"""Tells a lineage service of a run: one OpenLineage event when it starts and one when it ends.

The library's own configuration says where events go: ``OPENLINEAGE_URL``, the other variables
``OPENLINEAGE__…``, or a file ``openlineage.yml``. A service that does not answer costs the run a
notice and nothing else.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from internvl_ops.errors import ConfigurationError
from internvl_ops.events import note
from internvl_ops.stores.redaction import safe_text, safe_uri
from pipelines.interruption import Interrupted
from pipelines.output.folder import ERRORS, RESULTS

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient

    from pipelines.report.record import RunRecord

logger = logging.getLogger(__name__)

NAMESPACE = "internvl-batch"  # of jobs, unless OPENLINEAGE_NAMESPACE names another


def check_lineage(wanted: bool) -> None:
    """Checks that ``--openlineage`` can do something.

    Raises:
        ConfigurationError: The library is missing, or nothing says where events go.
    """
    if wanted:
        _client()


@contextlib.contextmanager
def lineage(record: RunRecord) -> Iterator[None]:
    """Sends one event at the start of the block and one at its end, if the options of the run ask
    for it."""
    if not record.options.openlineage:
        yield
        return
    sender = _Sender(record)
    sender.send("START")
    try:
        yield
    except (Interrupted, KeyboardInterrupt):
        sender.send("ABORT")
        raise
    except BaseException as error:
        sender.send("FAIL", why=str(error) or type(error).__name__)
        raise
    ends = {
        "done": "COMPLETE",
        "too many errors": "COMPLETE",
        "nothing succeeded": "COMPLETE",
        "interrupted": "ABORT",
    }
    ended = ends.get(record.status, "FAIL")
    sender.send(ended, why=record.ended if ended == "FAIL" else "")


class _Sender:
    def __init__(self, record: RunRecord) -> None:
        from openlineage.client.uuid import generate_static_uuid

        self._record, self._client = record, _client()
        self._id = str(generate_static_uuid(record.started, record.run_id.encode()))

    def send(self, state: str, *, why: str = "") -> None:
        """Sends the event of one state; logs a notice if that fails."""
        try:
            self._client.emit(self._event(state, why))
        except Exception as error:
            message = (
                f"The OpenLineage event {state} could not be sent: {type(error).__name__}: {error}"
            )
            note(logger, "lineage_not_sent", message)

    def _event(self, state: str, why: str) -> Any:
        from openlineage.client.event_v2 import (
            InputDataset,
            Job,
            OutputDataset,
            Run,
            RunEvent,
            RunState,
        )
        from openlineage.client.facet_v2 import (
            error_message_run,
            execution_parameters_run,
            input_statistics_input_dataset,
            job_type_job,
            output_statistics_output_dataset,
            processing_engine_run,
        )

        record, counts = self._record, self._record.counts
        version = importlib.metadata.version("internvl-batch")
        parameters = [
            execution_parameters_run.ExecutionParameter(key=name, value=str(value))
            for name, value in record.configuration().items()
            if value is not None
        ]
        facets: dict[str, Any] = {
            "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
                version, "internvl-batch"
            ),
            "executionParameters": execution_parameters_run.ExecutionParametersRunFacet(parameters),
        }
        if why:
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
                safe_text(why), "python"
            )
        read: dict[str, Any] = {}
        written: dict[str, dict[str, Any]] = {RESULTS: {}, ERRORS: {}}
        if counts is not None:
            rows_in = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
                rowCount=counts.units
            )
            read = {"inputStatistics": rows_in}
            for folder, rows in ((RESULTS, counts.results), (ERRORS, counts.errors)):
                rows_out = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                    rowCount=rows
                )
                written[folder] = {"outputStatistics": rows_out}
        output = record.options.output.rstrip("/")
        kind = job_type_job.JobTypeJobFacet("BATCH", "RAY", record.task.name)
        return RunEvent(
            eventTime=datetime.now(UTC).isoformat(),
            eventType=RunState[state],
            run=Run(self._id, facets),
            job=Job(
                os.environ.get("OPENLINEAGE_NAMESPACE", NAMESPACE),
                f"{record.task.name} {safe_uri(output)}",
                {"jobType": kind},
            ),
            inputs=[InputDataset(*_place(record.options.input), inputFacets=read)],
            outputs=[
                OutputDataset(*_place(f"{output}/{name}"), outputFacets=had)
                for name, had in written.items()
            ],
            producer=f"urn:internvl-batch:{version}",
        )


def _place(uri: str) -> tuple[str, str]:
    """Namespace and name of a dataset, as OpenLineage's naming rules have them."""
    parts = urlsplit(safe_uri(uri))
    if parts.scheme in ("", "file"):
        return "file", os.path.abspath(parts.path)
    return f"{parts.scheme}://{parts.netloc}", parts.path.strip("/") or "/"


def _client() -> OpenLineageClient:
    """The library's client.

    Raises:
        ConfigurationError: The library is missing, or its configuration is wrong or says nothing.
    """
    try:
        from openlineage.client import OpenLineageClient
    except ImportError:
        raise ConfigurationError(
            "--openlineage: the library is not installed. Install it where the job's driver runs:"
            " pip install 'internvl-batch[lineage]'."
        ) from None
    logging.getLogger("openlineage").setLevel(logging.ERROR)
    try:
        client = OpenLineageClient()
        transport = client.config.transport
    except Exception as error:
        raise ConfigurationError(
            f"--openlineage: its configuration is wrong: {safe_text(str(error))}"
        ) from None
    if not (transport or {}).get("type") and not os.environ.get("OPENLINEAGE_URL"):
        raise ConfigurationError(
            "--openlineage: nothing says where events go. Set OPENLINEAGE_URL, or write"
            " openlineage.yml here or in ~/.openlineage."
        )
    return client
