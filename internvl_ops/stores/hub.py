"""The Hugging Face Hub: files of models, datasets, spaces and buckets, through huggingface_hub."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import quote

from internvl_ops.stores.base import BLOCK, Received, TooLarge
from internvl_ops.stores.remote import ReadOnlyStore, ranged

_CHUNK = 1 << 18
_ANY_SIZE = 1 << 62


class HubStore(ReadOnlyStore):
    """Files of the Hub, by ``hf://datasets/OWNER/NAME[@REVISION]/PATH``; ``models``, ``spaces``,
    ``buckets`` alike.

    Reading takes one request, whose answer states the hash of the content.
    """

    variables = ("HF_", "FSSPEC_HF")
    versions = ("hash",)

    def make(self, **options: Any) -> Any:
        import fsspec

        # huggingface_hub reads the variable once, when it is imported.
        told = (
            {"endpoint": os.environ["HF_ENDPOINT"].rstrip("/")}
            if os.environ.get("HF_ENDPOINT")
            else {}
        )
        return fsspec.filesystem("hf", skip_instance_cache=True, **(told | options))

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        from huggingface_hub.errors import HfHubHTTPError

        return OSError, HfHubHTTPError.__bases__[0]  # of the HTTP client that huggingface_hub uses

    def advice(self, error: BaseException) -> str:
        return (
            "For a private or gated repository, set HF_TOKEN"
            if isinstance(error, PermissionError)
            else ""
        )

    def digest(self, info: Mapping[str, Any]) -> str:
        return f"sha256:{info['sha256']}" if info.get("sha256") else ""

    def info(self, uri: str) -> Mapping[str, Any]:
        where = self.fs.resolve_path(uri)
        if not where.path:
            return {"type": "directory", "size": 0}
        if hasattr(where, "bucket_id"):
            found: Mapping[str, Any] = self.fs.info(uri, refresh=True)
            return {**found, "hash": found.get("xet_hash")}
        (entry,) = self.fs._api.get_paths_info(
            where.repo_id, where.path_in_repo, revision=where.revision, repo_type=where.repo_type
        ) or [None]
        if entry is None:
            raise FileNotFoundError(uri)
        if not hasattr(entry, "blob_id"):
            return {"type": "directory", "size": 0}
        sha256 = entry.lfs.sha256 if entry.lfs else ""
        return {
            "type": "file",
            "size": entry.size,
            "hash": sha256 or entry.blob_id,
            "sha256": sha256,
        }

    def open(self, uri: str, *, block_size: int | None = BLOCK) -> BinaryIO:
        def fetch(start: int, end: int) -> bytes:
            with self._answer(uri, {"Range": f"bytes={start}-{end - 1}"}) as response:
                return (
                    bytes(response.read())
                    if response.status_code == 206
                    else bytes(response.read()[start:end])
                )

        return ranged(self.fs, uri, self.stat(uri).size, fetch, block_size)

    def read(self, uri: str) -> bytes:
        return self.receive(uri, _ANY_SIZE).data

    def receive(self, uri: str, max_bytes: int) -> Received:
        with self._answer(uri) as response:
            length = int(response.headers.get("content-length", -1))
            if length > max_bytes:
                raise TooLarge(f"{length:,} bytes")
            data = bytearray()
            for chunk in response.iter_bytes(_CHUNK):
                data += chunk
                if len(data) > max_bytes:
                    raise TooLarge(f"over {max_bytes:,} bytes")
            return Received(bytes(data), _stated(response))

    @contextlib.contextmanager
    def _answer(self, uri: str, headers: Mapping[str, str] | None = None) -> Iterator[Any]:
        """The answer to a request for a file."""
        import huggingface_hub.utils

        utils: Any = huggingface_hub.utils

        with self.telling():
            sent = {
                **utils.build_hf_headers(token=self.fs.token),
                "Accept-Encoding": "identity",
                **(headers or {}),
            }
            with utils.get_session().stream(
                "GET", self._address(uri), headers=sent, follow_redirects=True
            ) as response:
                if response.status_code >= 400:
                    response.read()
                utils.hf_raise_for_status(response)
                yield response

    def _address(self, uri: str) -> str:
        from huggingface_hub import hf_hub_url

        where = self.fs.resolve_path(uri)
        if hasattr(where, "bucket_id"):
            return f"{self.fs.endpoint}/buckets/{where.bucket_id}/resolve/{quote(where.path)}"
        return hf_hub_url(
            where.repo_id,
            where.path_in_repo,
            repo_type=where.repo_type,
            revision=where.revision,
            endpoint=self.fs.endpoint,
        )

    def _walk(self, root: str, prefix: str, recursive: bool) -> Iterator[str]:
        self.fs.dircache.clear()
        return super()._walk(root, prefix, recursive)

    def names(self, folder: str) -> list[str]:
        self.fs.dircache.clear()
        return super().names(folder)


def _stated(response: Any) -> str:
    """The hash of the content that an answer states: of the answer that led to it, if the content
    lies elsewhere."""
    for answer in (*response.history, response):
        for name in ("X-Linked-ETag", "ETag"):
            if name in answer.headers:
                return str(answer.headers[name]).removeprefix("W/").strip('"')
    return ""
