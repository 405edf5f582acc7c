"""Files of an Iceberg table, opened through the stores of this package. Imported only where
pyiceberg is installed."""

from __future__ import annotations

from typing import Any

from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile

from pipelines.sources.storage import check_scheme, kind_of, open_input, store


class StoreFile(InputFile):
    """A file that is read."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self._uri = check_scheme("--input", location)

    def __len__(self) -> int:
        return store(self._uri).stat(self._uri).size or 0

    def exists(self) -> bool:
        return kind_of(self._uri) == "file"

    def open(self, seekable: bool = True) -> InputStream:
        file: Any = open_input(self._uri)
        return file


class StoreFiles(FileIO):
    """The files; nothing is written."""

    def new_input(self, location: str) -> InputFile:
        return StoreFile(location)

    def new_output(self, location: str) -> OutputFile:
        raise NotImplementedError("tables are only read")

    def delete(self, location: str | InputFile | OutputFile) -> None:
        raise NotImplementedError("tables are only read")
