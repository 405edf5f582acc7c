"""Alibaba Cloud OSS, through ossfs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from internvl_ops.stores.base import BLOCK
from internvl_ops.stores.remote import BucketStore, ranged
from internvl_ops.stores.schemes import split_uri

KEYS_A_PAGE = 1_000
_VARIABLES = {
    "key": "OSS_ACCESS_KEY_ID",
    "secret": "OSS_ACCESS_KEY_SECRET",
    "token": "OSS_SESSION_TOKEN",
}


class OssStore(BucketStore):
    """Objects of OSS. Of ossfs it uses what makes one request; the rest relies on cached
    listings."""

    variables = ("FSSPEC_OSS", "OSS_")

    def configured(self) -> dict[str, Any]:
        told = {
            name: os.environ[variable]
            for name, variable in _VARIABLES.items()
            if os.environ.get(variable)
        }
        return told | super().configured()

    def make(self, **options: Any) -> Any:
        from ossfs import OSSFileSystem

        # Its listings pass through its cache; a second is the shortest time that they reliably stay
        # there.
        return OSSFileSystem(skip_instance_cache=True, listings_expiry_time=1, **options)

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        from oss2.exceptions import OssError

        return OSError, OssError

    def advice(self, error: BaseException) -> str:
        return (
            f"Check {', '.join(_VARIABLES.values())} and OSS_ENDPOINT"
            if isinstance(error, PermissionError)
            else ""
        )

    def info(self, uri: str) -> Mapping[str, Any]:
        # ossfs would list the whole folder of the object.
        bucket, key = split_uri(uri)
        if key:
            try:
                head = self.fs._call_oss("head_object", key, bucket=bucket)
                return {"type": "file", "size": head.content_length, "ETag": head.etag}
            except FileNotFoundError:
                pass
        folder = f"{key.rstrip('/')}/" if key else ""
        found = self.fs._call_oss("list_objects_v2", bucket=bucket, prefix=folder, max_keys=1)
        if key and not found.object_list:
            raise FileNotFoundError(uri)
        return {"type": "directory", "size": 0}

    def create_once(self, uri: str, data: bytes) -> None:
        self.fs.pipe_file(uri, data, headers={"x-oss-forbid-overwrite": "true"})

    def open(self, uri: str, *, block_size: int | None = BLOCK) -> BinaryIO:
        bucket, key = split_uri(uri)

        def fetch(start: int, end: int) -> bytes:
            with self.telling():
                found: bytes = self.fs._call_oss(
                    "get_object", key, bucket=bucket, byte_range=(start, end - 1)
                ).read()
            return found

        return ranged(self.fs, uri, self.stat(uri).size, fetch, block_size)

    def names(self, folder: str) -> list[str]:
        bucket, key = split_uri(folder)
        prefix = f"{key.rstrip('/')}/" if key else ""
        found: list[str] = []
        with self.telling():
            for page in self._listed(bucket, prefix, "/"):
                found += [entry.key for entry in page.object_list] + list(page.prefix_list)
        return [name for path in found if (name := path[len(prefix) :].rstrip("/"))]

    def pages(self, bucket: str, prefix: str, recursive: bool) -> Iterator[list[str]]:
        for page in self._listed(bucket, prefix, "" if recursive else "/"):
            yield [entry.key for entry in page.object_list]

    def _listed(self, bucket: str, prefix: str, delimiter: str) -> Iterator[Any]:
        request: dict[str, Any] = {
            "prefix": prefix,
            "delimiter": delimiter,
            "max_keys": KEYS_A_PAGE,
        }
        while True:
            page = self.fs._call_oss("list_objects_v2", bucket=bucket, **request)
            yield page
            if not page.is_truncated:
                return
            request["continuation_token"] = page.next_continuation_token
