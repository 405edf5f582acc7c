"""Selects the proxy for an address, by ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY``."""

from __future__ import annotations

from typing import Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri


def proxy_for(url: URL) -> dict[str, Any]:
    """Arguments that send an aiohttp request through the proxy; empty if the address needs no
    proxy.

    Raises:
        ConfigurationError: The variable does not name an http(s) proxy.
    """
    proxies = getproxies()
    told = proxies.get(url.scheme, "")
    if not told or proxy_bypass(url.raw_host or "", proxies):
        return {}
    try:
        proxy = URL(told if "://" in told else f"http://{told}")
        usable = proxy.scheme in ("http", "https") and proxy.raw_host and proxy.port
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(
            f"{url.scheme.upper()}_PROXY {safe_uri(told)}: give an address such as"
            f" http://HOST:PORT, or name {url.raw_host} in NO_PROXY"
        )
    auth = None if proxy.user is None else aiohttp.BasicAuth(proxy.user, proxy.password or "")
    return {"proxy": proxy.with_user(None), "proxy_auth": auth}
