"""S3, through s3fs. Media have a faster way, see `internvl_ops.media.s3`; both are configured by
`s3_config`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from internvl_ops.stores import s3_config
from internvl_ops.stores.remote import BucketStore

KEYS_A_PAGE = 1_000


class S3Store(BucketStore):
    """Objects of S3."""

    @classmethod
    def environment(cls) -> tuple[tuple[str, str], ...]:
        return s3_config.environment()

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        from botocore.exceptions import BotoCoreError, ClientError

        return OSError, BotoCoreError, ClientError

    def advice(self, error: BaseException) -> str:
        refused = isinstance(error, PermissionError) or "credentials" in str(error)
        return s3_config.ANONYMOUS if refused and not self.settings.s3_anonymous else ""

    def is_locked(self, error: BaseException) -> bool:
        from botocore import exceptions as aws

        unset = aws.NoCredentialsError, aws.PartialCredentialsError, aws.ProfileNotFound
        return isinstance(error, unset)

    def told(self, error: Exception) -> Exception:
        return error  # s3fs has translated it

    def configured(self) -> dict[str, Any]:
        # s3fs retries by itself, and `patience` retries after it. With botocore's five attempts on
        # top, a store that never answers would block for many minutes before the first message.
        once: dict[str, Any] = (
            {} if "AWS_MAX_ATTEMPTS" in os.environ else {"retries": {"total_max_attempts": 1}}
        )
        return s3_config.options(
            anonymous=self.settings.s3_anonymous,
            requester_pays=self.settings.s3_requester_pays,
            **once,
        )

    def pages(self, bucket: str, prefix: str, recursive: bool) -> Iterator[list[str]]:
        request = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": KEYS_A_PAGE}
        request |= {} if recursive else {"Delimiter": "/"}
        while True:
            page = self.fs.call_s3("list_objects_v2", **request)
            yield [entry["Key"] for entry in page.get("Contents", ())]
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]
