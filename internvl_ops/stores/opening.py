"""Opens the store of a URI."""

from __future__ import annotations

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.base import Settings, Store, class_of, opened_once
from internvl_ops.stores.redaction import safe_uri, without_credentials
from internvl_ops.stores.schemes import Scheme, scheme_of


def store_of(uri: str, settings: Settings = Settings()) -> Store:  # noqa: B008 (it is frozen)
    """The store of a URI whose scheme is known. It is opened once for a scheme and a configuration.

    Raises:
        ConfigurationError: The package that reads its scheme is not installed, or the store cannot
            be set up as configured.
    """
    scheme = scheme_of(uri)
    opened = class_of(scheme)
    try:
        return opened_once(scheme, opened, settings, opened.account_of(uri), opened.environment())
    except ImportError as error:
        raise missing(uri, scheme, error) from None


def refuse_keys(option: str, uri: str) -> None:
    """Refuses ``s3://KEY:SECRET@bucket``, because addresses appear in logs and listings.

    Raises:
        ConfigurationError: The address has keys; the message does not repeat them.
    """
    scheme = scheme_of(uri)
    if scheme.lists and without_credentials(uri) != uri:
        raise ConfigurationError(
            f"{option} {safe_uri(uri)}: no keys are taken from an address. Set {_instead(scheme)},"
            " and leave them out of it."
        )


def _instead(scheme: Scheme) -> str:
    if scheme.name == "s3":
        return "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    return scheme.credentials.replace("`", "")


def missing(uri: str, scheme: Scheme, error: ImportError) -> ConfigurationError:
    """The error for a scheme whose package is not installed."""
    wanted = f"internvl-batch[{scheme.extra}]" if scheme.extra else scheme.package
    return ConfigurationError(
        f"{safe_uri(uri)}: {scheme.example} is read and written by {scheme.package}, which cannot"
        f" be imported ({error}). Install it on every node: pip install '{wanted}'."
    )
