"""Web servers, through fsspec: single files, since no server lists its folders."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from internvl_ops.stores.base import BLOCK, EntryKind
from internvl_ops.stores.remote import ReadOnlyStore


class WebStore(ReadOnlyStore):
    """Files at http(s) addresses."""

    variables = ("FSSPEC_HTTP",)

    def make(self, **options: Any) -> Any:
        import fsspec

        headers = {"User-Agent": "internvl-batch", "Accept-Encoding": "identity"}
        client = {"trust_env": True, "headers": headers} | options.pop("client_kwargs", {})
        # Addresses are sent as they are written, since a signature may cover them.
        return fsspec.filesystem(
            "http",
            use_listings_cache=False,
            skip_instance_cache=True,
            encoded=True,
            client_kwargs=client,
            **options,
        )

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        import aiohttp

        return OSError, aiohttp.ClientError

    def kind(self, uri: str) -> EntryKind | None:
        with self.telling():
            try:
                self.info(uri)
            except FileNotFoundError:
                return None
        return "file"

    def info(self, uri: str) -> Mapping[str, Any]:
        with self.telling():
            found: Mapping[str, Any] = self.fs.info(_sent(uri))
        return {**found, "type": "file"}

    def open(self, uri: str, *, block_size: int | None = BLOCK) -> BinaryIO:
        from fsspec.asyn import sync

        cache = {"cache_type": "none"} if block_size is None else {"block_size": block_size}
        with self.telling():
            if sync(self.fs.loop, self._sends_parts, _sent(uri)):
                return self.fs.open(_sent(uri), "rb", **cache)
            whole = tempfile.TemporaryFile()  # noqa: SIM115
            self.fs.get_file(_sent(uri), whole)
            whole.seek(0)
            return whole

    async def _sends_parts(self, uri: str) -> bool:
        session = await self.fs.set_session()
        async with session.get(uri, headers={"Range": "bytes=0-0"}) as response:
            if response.status in (404, 410):
                raise FileNotFoundError(uri)
            return bool(response.status == 206)

    def read(self, uri: str) -> bytes:
        with self.telling():
            return self.fs.cat_file(_sent(uri))

    def walk(self, uri: str, *, recursive: bool = True, beginning: str = "") -> Iterator[str]:
        return iter(())

    def names(self, folder: str) -> list[str]:
        return []


def _sent(uri: str) -> str:
    """The address as it can be sent."""
    from yarl import URL

    return uri if uri.isascii() and " " not in uri else str(URL(uri))
