"""Access to S3 for libraries that do not read botocore's configuration themselves."""

from __future__ import annotations

from dataclasses import dataclass

from internvl_ops.stores.base import Settings
from internvl_ops.stores.schemes import scheme_of


@dataclass(frozen=True)
class Aws:
    """What a request to S3 needs.

    Args:
        endpoint: Address of the store; empty for AWS itself.
        region: Its region.
        key: Access key; empty without credentials.
        secret: Its secret.
        token: Token of temporary credentials; empty for others.
    """

    endpoint: str
    region: str
    key: str = ""
    secret: str = ""
    token: str = ""

    def named(self, names: dict[str, str]) -> dict[str, str]:
        """Those of the values that are there, under the names of a library."""
        return {name: getattr(self, own) for own, name in names.items() if getattr(self, own)}


def aws() -> Aws:
    """The configuration as botocore reads it: from variables, profiles, and the machine's role."""
    import botocore.session

    session = botocore.session.get_session()
    meta = session.create_client("s3").meta
    found = session.get_credentials()
    endpoint = "" if meta.endpoint_url.rstrip("/").endswith(".amazonaws.com") else meta.endpoint_url
    if found is None:
        return Aws(endpoint, meta.region_name)
    frozen = found.get_frozen_credentials()
    return Aws(endpoint, meta.region_name, frozen.access_key, frozen.secret_key, frozen.token or "")


def options_for(uri: str, settings: Settings) -> dict[str, str] | None:
    """Options of object_store to read what is at ``uri``; None where it finds what it needs by
    itself."""
    if scheme_of(uri).name != "s3":
        return None
    paying = {"aws_request_payer": "true"} if settings.s3_requester_pays else {}
    if not settings.s3_anonymous:
        return object_store_options() | paying
    kept = ("aws_endpoint", "aws_region", "allow_http")
    return {name: value for name, value in object_store_options().items() if name in kept} | {
        "aws_skip_signature": "true"
    }


def object_store_options() -> dict[str, str]:
    """Options of the Rust crate object_store, which deltalake and lance use."""
    access = aws()
    names = {"endpoint": "aws_endpoint", "region": "aws_region", "key": "aws_access_key_id",
             "secret": "aws_secret_access_key", "token": "aws_session_token"}  # fmt: skip
    return access.named(names) | (
        {"allow_http": "true"} if access.endpoint.startswith("http://") else {}
    )
