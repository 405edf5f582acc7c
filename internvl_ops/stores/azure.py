"""Azure Blob Storage and Data Lake, through adlfs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.remote import BucketStore, first_line
from internvl_ops.stores.schemes import split_uri


class AzureStore(BucketStore):
    """Blobs, by ``az://CONTAINER/KEY`` or, with the account,
    ``az://CONTAINER@ACCOUNT.dfs.core.windows.net/KEY``."""

    variables = ("FSSPEC_AZ", "FSSPEC_ABFS", "AZURE_")
    versions = ("etag", "last_modified")

    @classmethod
    def account_of(cls, uri: str) -> str:
        return split_uri(uri)[0].partition("@")[2].partition(".")[0]

    def make(self, **options: Any) -> Any:
        from adlfs import AzureBlobFileSystem

        if self.account:
            self._check_account(
                options.get("connection_string")
                or os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
            )
            options["account_name"] = self.account
        try:
            return AzureBlobFileSystem(
                use_listings_cache=False, skip_instance_cache=True, **options
            )
        except ValueError as error:
            raise ConfigurationError(
                f"az:// cannot be set up as configured: {first_line(error)}. Set"
                " AZURE_STORAGE_ACCOUNT_NAME or AZURE_STORAGE_CONNECTION_STRING, or write"
                " az://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH."
            ) from None

    def _check_account(self, connection: str) -> None:
        """Refuses the URI of one account with the connection string of another, which adlfs would
        prefer."""
        named = re.search(r"AccountName=([^;]+)", connection)
        if named and named[1] != self.account:
            raise ConfigurationError(
                f"az://…@{self.account}.dfs.core.windows.net: AZURE_STORAGE_CONNECTION_STRING is of"
                f" the account {named[1]}. Leave the account out of the URI, or set"
                " AZURE_STORAGE_ACCOUNT_KEY or _SAS_TOKEN instead."
            )

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        import aiohttp
        from azure.core.exceptions import AzureError

        return OSError, AzureError, aiohttp.ClientError

    def told(self, error: Exception) -> Exception:
        from azure.core.exceptions import ClientAuthenticationError

        return (
            PermissionError(first_line(error))
            if isinstance(error, ClientAuthenticationError)
            else super().told(error)
        )

    def advice(self, error: BaseException) -> str:
        if not isinstance(error, PermissionError):
            return ""
        return (
            "Check the AZURE_STORAGE_* variables, or set AZURE_STORAGE_ANON=true for a public"
            " container"
        )

    def digest(self, info: Mapping[str, Any]) -> str:
        md5 = (info.get("content_settings") or {}).get("content_md5")
        return f"md5:{bytes(md5).hex()}" if md5 else ""

    def pages(self, bucket: str, prefix: str, recursive: bool) -> Iterator[list[str]]:
        from fsspec.asyn import sync

        client = self.fs.service_client.get_container_client(bucket.partition("@")[0])
        begins, include = prefix or None, ["metadata"]
        if recursive:
            listed = client.list_blobs(name_starts_with=begins, include=include)
        else:
            listed = client.walk_blobs(name_starts_with=begins, include=include, delimiter="/")
        pages = listed.by_page()
        while (page := sync(self.fs.loop, _next_page, pages)) is not None:
            yield page


async def _next_page(pages: Any) -> list[str] | None:
    """Names of the blobs on the next page, without folders and the marks that accounts with folders
    keep for them."""
    try:
        page = await anext(pages)
    except StopAsyncIteration:
        return None
    return [blob.name async for blob in page if hasattr(blob, "etag") and not _is_mark(blob)]


def _is_mark(blob: Any) -> bool:
    return (blob.metadata or {}).get("hdi_isfolder") == "true"
