"""Google Cloud Storage, through gcsfs."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from internvl_ops.stores.remote import BucketStore, first_line

KEYS_A_PAGE = 1_000


class GcsStore(BucketStore):
    """Objects of Google Cloud Storage."""

    variables = ("FSSPEC_GS", "FSSPEC_GCS", "GOOGLE_", "GCSFS_", "STORAGE_EMULATOR_HOST")
    versions = ("generation", "etag", "md5Hash")

    def make(self, **options: Any) -> Any:
        # Not the class that asks Google's control service over gRPC what kind each bucket is.
        from gcsfs.core import GCSFileSystem

        return GCSFileSystem(use_listings_cache=False, skip_instance_cache=True, **options)

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        import aiohttp
        from gcsfs.retry import HttpError
        from google.auth.exceptions import GoogleAuthError

        return OSError, HttpError, GoogleAuthError, aiohttp.ClientError

    def told(self, error: Exception) -> Exception:
        from google.auth.exceptions import GoogleAuthError

        text = first_line(error)
        if isinstance(error, GoogleAuthError) or text.startswith(
            ("Forbidden:", "Anonymous caller")
        ):
            return PermissionError(text)
        return super().told(error)

    def advice(self, error: BaseException) -> str:
        if not isinstance(error, PermissionError):
            return ""
        return "Set GOOGLE_APPLICATION_CREDENTIALS, or FSSPEC_GS_TOKEN=anon for a public bucket"

    def digest(self, info: Mapping[str, Any]) -> str:
        return f"md5:{base64.b64decode(info['md5Hash']).hex()}" if info.get("md5Hash") else ""

    def pages(self, bucket: str, prefix: str, recursive: bool) -> Iterator[list[str]]:
        request: dict[str, Any] = {"prefix": prefix, "maxResults": KEYS_A_PAGE}
        request |= {} if recursive else {"delimiter": "/"}
        while True:
            page = self.fs.call("GET", "b/{}/o", bucket, json_out=True, **request)
            yield [entry["name"] for entry in page.get("items", ())]
            if not page.get("nextPageToken"):
                return
            request["pageToken"] = page["nextPageToken"]
