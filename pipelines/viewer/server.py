"""What the page asks for: the outputs, rows, pictures, histograms, comparisons and marks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from internvl_ops.errors import ConfigurationError, UnitError
from internvl_ops.scratch import ScratchFolder
from internvl_ops.stores.redaction import safe_text, safe_uri
from pipelines.flags import in_flags
from pipelines.output.folder import RESULTS
from pipelines.output.media_places import media_kind_of
from pipelines.output.sql import quoted
from pipelines.viewer import queries, texts
from pipelines.viewer.database import Database, QueryError, view
from pipelines.viewer.media import SIDES, Shelf, UnitMedia, media_columns, named_files, unit_media
from pipelines.viewer.outputs import TABLES, ViewedOutput
from pipelines.viewer.reviewing import Reviewing
from pipelines.viewer.security import Guard
from pipelines.viewer.selection import Selection, page_of, whole

STATIC = Path(__file__).parent / "static"
_LARGEST_REQUEST = 32 << 20  # bytes; an edited text may be long
_COMPARED = 200_000  # characters of a text that are compared
_RUN = (
    "run_id",
    "status",
    "task",
    "prompt",
    "started",
    "seconds",
    "counts",
    "error_kinds",
    "finish_reasons",
    "notices",
)


class Viewer:
    """The viewer of some outputs.

    Args:
        outputs: The outputs.
        reviewer: Name under which marks are written.
    """

    def __init__(self, outputs: Sequence[ViewedOutput], reviewer: str) -> None:
        self.outputs, self.reviewer = list(outputs), reviewer
        self._scratch = ScratchFolder(swept=True)
        pictures = self.scratch / "pictures"
        pictures.mkdir()
        self.database = Database(self.outputs, str(self.scratch))
        self.reviewing = [
            Reviewing(output, n, self.database, reviewer) for n, output in enumerate(self.outputs)
        ]
        self.shelf = Shelf(self.outputs, pictures)

    @property
    def scratch(self) -> Path:
        """A folder that only this user can read, and that is removed at the end."""
        return self._scratch.path

    def app(self, token: str, port: int) -> ASGIApp:
        """The application, guarded."""
        get = functools.partial(Route, methods=["GET"])
        post = functools.partial(Route, methods=["POST"])
        routes = [
            get("/", _index),
            get("/api/outputs", _answering(self.describe)),
            get("/api/rows", _answering(self.rows)),
            get("/api/count", _answering(self.count)),
            get("/api/unit", _answering(self.unit)),
            get("/api/text", _answering(self.text)),
            get("/api/values", _answering(self.values)),
            get("/api/histogram", _answering(self.histogram)),
            get("/api/compared", _answering(self.compared)),
            get("/api/difference", _answering(self.difference)),
            get("/api/agreement", _answering(self.agreement)),
            get("/api/media", _answering(self.media)),
            get("/picture", self.picture),
            post("/api/mark", self.mark),
            post("/api/undo", self.undo),
            post("/api/reload", self.reload),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]

        return Guard(Starlette(routes=routes), token, port)

    def close(self) -> None:
        self.shelf.close()
        self.database.close()
        self._scratch.cleanup()

    def describe(self, given: Mapping[str, str]) -> Any:
        return {
            "reviewer": self.reviewer,
            "outputs": [self._described(n) for n in range(len(self.outputs))],
        }

    def _described(self, number: int) -> dict[str, Any]:
        output = self.outputs[number]
        columns = self.database.columns
        names = [column.name for column in columns[number, RESULTS]]
        return {
            "name": output.name,
            "uri": safe_uri(output.uri),
            "kind": media_kind_of(names),
            "media": output.access.media and output.media_column(names) is not None,
            "tables": {
                table: {
                    "rows": self.database.rows[number, table],
                    "sql": view(number, table),
                    "columns": [vars(column) for column in columns[number, table]],
                }
                for table in TABLES
                if columns[number, table]
            },
            "runs": [
                {name: run.get(name) for name in _RUN}
                | {"model": (run.get("configuration") or {}).get("model")}
                for run in output.runs()
            ],
            "marks": self.reviewing[number].count,
        }

    def rows(self, given: Mapping[str, str]) -> Any:
        return queries.rows(self.database, self._selection(given), *page_of(given))

    def count(self, given: Mapping[str, str]) -> Any:
        return {"rows": queries.count(self.database, self._selection(given))}

    def unit(self, given: Mapping[str, str]) -> Any:
        chosen = self._selection(given)
        found = queries.unit(self.database, chosen, given.get("id", ""))
        values = found["values"]
        media = self._media(chosen, given.get("id", ""))
        columns = self.database.columns[chosen.output, chosen.table]
        answers = [column.name for column in columns if column.answer and column.kind == "text"]
        if isinstance(values.get("parent"), str) and isinstance(values.get("page"), int):
            found["beside"] = queries.beside(
                self.database, chosen, values["parent"], values["page"]
            )
        return found | {
            "answers": answers,
            "rendered": {
                name: texts.rendered(values[name]) for name in answers if values.get(name)
            },
            "blocks": texts.blocks(values.get("blocks")),
            "files": named_files(media),
            "places": media.places,
            "kind": media.kind,
            "marks": self.reviewing[chosen.output].of(given.get("id", "")),
        }

    def text(self, given: Mapping[str, str]) -> Any:
        start = whole(given, "start", 0, 2**40)
        name = given.get("column", "")
        return {
            "text": queries.text(
                self.database, self._selection(given), given.get("id", ""), name, start
            )
        }

    def values(self, given: Mapping[str, str]) -> Any:
        return queries.values(self.database, self._selection(given), given.get("column", ""))

    def histogram(self, given: Mapping[str, str]) -> Any:
        return queries.histogram(self.database, self._selection(given), given.get("column", ""))

    def compared(self, given: Mapping[str, str]) -> Any:
        most = len(self.outputs) - 1
        pair = whole(given, "first", 0, most), whole(given, "second", 0, most)
        which = given.get("which") or "all"
        if which not in ("all", "same", "differs", "first", "second"):
            raise QueryError(f"which {which!r} is not allowed: all, same, differs, first or second")
        found = queries.compared(
            self.database, pair, given.get("column", ""), which, page_of(given)
        )
        for row in found["rows"]:
            row["parts"] = texts.difference(row["first"] or "", row["second"] or "")["parts"]
        return found

    def difference(self, given: Mapping[str, str]) -> Any:
        """Two texts of one unit: of two outputs, or of two columns of one."""
        most, id = len(self.outputs) - 1, given.get("id", "")
        found = [
            queries.whole_text(
                self.database,
                Selection(output=whole(given, number, 0, most)),
                id,
                given.get(column) or given.get("column", ""),
                _COMPARED,
            )
            for number, column in (("first", "column"), ("second", "other"))
        ]
        told = texts.difference(found[0] or "", found[1] or "")
        cut = any(len(text or "") >= _COMPARED for text in found)
        return told | {
            "complete": told["complete"] and not cut,
            "there": [text is not None for text in found],
        }

    def agreement(self, given: Mapping[str, str]) -> Any:
        chosen = self._selection(given)
        reviewing = self.reviewing[chosen.output]
        reviewing.read_again()
        ids = None
        if chosen != Selection(
            output=chosen.output, sort=chosen.sort, descending=chosen.descending
        ):
            source, parameters = chosen.source(self.database)
            found = self.database.query(f"SELECT id {source} AND reviewers IS NOT NULL", parameters)
            ids = {row["id"] for row in found}
        return reviewing.summary(ids) | {"units": queries.count(self.database, chosen)}

    def media(self, given: Mapping[str, str]) -> Any:
        chosen = self._selection(given)
        media = self._media(chosen, given.get("id", ""))
        try:
            return self.shelf.described(media, whole(given, "place", 0, 10_000), _size(given))
        except UnitError as error:
            return {"error": in_flags(f"{error.kind}: {error.message}")}

    async def picture(self, request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        return await run_in_threadpool(self._picture, request.query_params)

    def _picture(self, given: Mapping[str, str]) -> Response:
        try:
            media = self._media(self._selection(given), given.get("id", ""))
            place, frame = whole(given, "place", 0, 10_000), whole(given, "frame", 0, 10_000)
            data = self.shelf.picture(media, place, _size(given), frame)
        except (UnitError, QueryError) as error:
            return _json({"error": in_flags(str(error))}, 404)
        return Response(
            data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"}
        )

    async def mark(self, request: Request) -> Response:
        """Says something of a unit, in place of what this reviewer said before."""

        def act(asked: Mapping[str, Any]) -> Any:
            said = {name: asked.get(name) for name in ("mark", "text", "note")}
            if not isinstance(asked.get("id"), str) or any(
                not isinstance(v, str | None) for v in said.values()
            ):
                raise QueryError("a mark has an id, and mark, text and note as texts or null")
            return self.reviewing[_output(asked, self.outputs)].add(asked["id"], **said)

        return await _acting(request, act)

    async def undo(self, request: Request) -> Response:
        return await _acting(
            request, lambda asked: self.reviewing[_output(asked, self.outputs)].undo()
        )

    async def reload(self, request: Request) -> Response:
        """Lists the files of all outputs again, for runs that go on."""

        def act(asked: Mapping[str, Any]) -> Any:
            for number, output in enumerate(self.outputs):
                output.reload()
                self.database.open(number)
                self.reviewing[number].read_again()
            return self.describe({})

        return await _acting(request, act)

    def _selection(self, given: Mapping[str, str]) -> Selection:
        return Selection.parse(given, len(self.outputs))

    def _media(self, chosen: Selection, id: str) -> UnitMedia:
        output = self.outputs[chosen.output]
        names = [column.name for column in self.database.columns[chosen.output, chosen.table]]
        wanted = media_columns(output, names)
        shown = ", ".join(map(quoted, ["id", *wanted]))
        sql = f"SELECT {shown} FROM {view(chosen.output, chosen.table)} WHERE id = ? LIMIT 1"
        found = self.database.query(sql, [id]) if names else []
        return unit_media(output, chosen.output, names, found[0] if found else {})


async def _index(_: Request) -> Response:
    return FileResponse(STATIC / "index.html")


def _answering(answer: Callable[[Mapping[str, str]], Any]) -> Callable[[Request], Response]:
    """A route that answers as JSON; what the person asked wrongly is an answer too."""

    def route(request: Request) -> Response:
        try:
            return _json(answer(request.query_params))
        except (QueryError, ConfigurationError) as error:
            return _json({"error": in_flags(safe_text(str(error)))}, 400)

    return route


async def _acting(request: Request, act: Callable[[Mapping[str, Any]], Any]) -> Response:
    """Does what a POST asks. Only the page's own scripts can send JSON; a form of another page
    cannot."""
    from starlette.concurrency import run_in_threadpool

    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise HTTPException(415, "send JSON")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_REQUEST:
            raise HTTPException(413, "at most 32 MiB")
    try:
        asked = orjson.loads(bytes(body) or b"{}")
        return _json(await run_in_threadpool(act, asked if isinstance(asked, dict) else {}))
    except (orjson.JSONDecodeError, QueryError, ConfigurationError, OSError) as error:
        return _json({"error": in_flags(safe_text(str(error)))}, 400)


def _json(value: Any, status: int = 200) -> Response:
    data = orjson.dumps(
        value, default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    )
    return Response(data, status, media_type="application/json")


def _output(asked: Mapping[str, Any], outputs: Sequence[ViewedOutput]) -> int:
    return whole({"output": str(asked.get("output", 0))}, "output", 0, len(outputs) - 1)


def _size(given: Mapping[str, str]) -> str:
    size = given.get("size", "small")
    if size not in SIDES:
        raise QueryError(f"size {size!r} is not allowed: {' or '.join(SIDES)}")
    return size
