"""Options for display and for the record of a run: without values that may be secrets."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel

from internvl_ops.stores.redaction import safe_text, safe_uri
from internvl_ops.stores.schemes import SCHEME

# Not every "token": max_num_batched_tokens is a number that a reader of the record wants to see.
_SECRET = re.compile(
    r"(^|[_-])(token|secret|password|passphrase|key|key_id|credentials?|authorization)$",
    re.IGNORECASE,
)


def safe_options(options: BaseModel) -> dict[str, Any]:
    """All options as JSON values. Credentials in URIs and values with names such as hf_token are
    hidden."""
    return {
        name: _without_secrets(value, name)
        for name, value in options.model_dump(mode="json", exclude={"pdf_password"}).items()
    }


def without_secrets(value: Any) -> Any:
    """A JSON value without the values of names such as hf_token. Texts stay whole, so do not
    display the result."""
    if isinstance(value, dict):
        return {
            key: "…" if item and _SECRET.search(key) else without_secrets(item)
            for key, item in value.items()
        }
    return [without_secrets(item) for item in value] if isinstance(value, list) else value


def _without_secrets(value: Any, name: str = "") -> Any:
    if name == "http_header":
        return [f"{header.partition('=')[0]}=…" for header in value]
    if value and _SECRET.search(name):
        return "…"
    if isinstance(value, dict):
        return {key: _without_secrets(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    if not isinstance(value, str) or "://" not in value:
        return value
    return safe_uri(value if SCHEME.match(value.lstrip()) else safe_text(value))
