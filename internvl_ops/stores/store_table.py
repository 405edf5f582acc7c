"""The table of stores in docs/stores.md."""

from __future__ import annotations

from internvl_ops.stores.schemes import LOCAL, SCHEMES, Scheme

_HEAD = (
    "scheme",
    "store",
    "install",
    "output",
    "written once by",
    "version of a file",
    "credentials",
)


def markdown() -> str:
    """One row a store, made from the table of schemes."""
    rows = [_HEAD, ["---"] * len(_HEAD)]
    rows += [_row(scheme) for scheme in SCHEMES.values() if scheme.name != "http"]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(scheme: Scheme) -> list[str]:
    names = ["path"] if scheme is LOCAL else []
    names += [
        f"`{name}://`"
        for name in (scheme.name, *scheme.aliases, *(["http"] if scheme.name == "https" else []))
    ]
    return [
        ", ".join(names),
        scheme.title,
        f"`internvl-batch[{scheme.extra}]`" if scheme.extra else "",
        "yes" if scheme.written else "no",
        scheme.creates or "no",
        scheme.version,
        scheme.credentials,
    ]
