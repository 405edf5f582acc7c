"""Makes one attempt to read one object of a store that has no faster way of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from internvl_ops.errors import UnitError, keyword
from internvl_ops.media.transports import Transient
from internvl_ops.stores.base import Received, Settings, Store, TooLarge
from internvl_ops.stores.opening import store_of
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.stores.remote import StoreAway, first_line

T = TypeVar("T")


class StoreReader:
    """Reads objects through `internvl_ops.stores`, each in a thread.

    Args:
        settings: How stores are read.
    """

    waits = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def read(self, uri: str, max_bytes: int) -> Received:
        """Reads an object by a checked URI."""

        def receive(store: Store) -> Received:
            try:
                return store.receive(uri, max_bytes)
            except TooLarge as error:
                wanted = keyword("max_bytes")
                message = (
                    f"{safe_uri(uri)} is {error.size}; allowed are {max_bytes:,}. Raise {wanted}"
                )
                raise UnitError("fetch", "too_large", message) from None

        return await asyncio.to_thread(self._ask, uri, receive)

    async def version(self, uri: str) -> str:
        """The current version of an object."""
        return await asyncio.to_thread(self._ask, uri, lambda store: store.stat(uri).version)

    async def check_answers(self, seconds: float) -> None:
        """Does nothing: a store that is away for long is passed over, see `Silence`."""

    async def close(self) -> None:
        """Does nothing: stores are shared."""

    def _ask(self, uri: str, ask: Callable[[Store], T]) -> T:
        store = store_of(uri, self._settings)
        try:
            return ask(store)
        except (FileNotFoundError, IsADirectoryError):
            raise UnitError("fetch", "not_found", f"{safe_uri(uri)} does not exist") from None
        except PermissionError as error:
            # Mostly wrong credentials, which an operator can fix. Kind "storage" lets a job read it
            # again.
            said = ". ".join(part for part in (first_line(error), store.advice(error)) if part)
            raise UnitError("fetch", "storage", f"{safe_uri(uri)}: {said}") from None
        except TimeoutError:
            raise Transient("no answer in time", "timeout", silent=True) from None
        except StoreAway as error:
            raise Transient(first_line(error), silent=error.status is None) from None
        except OSError as error:
            raise Transient(f"the connection failed: {first_line(error)}", silent=True) from None
        except ValueError:
            raise UnitError(
                "fetch", "bad_row", f"{safe_uri(uri)} is no URI that its store understands"
            ) from None
