"""Decides which network addresses are public, in any notation."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Formally global, yet never web servers: the 6to4 relay, IPv6 documentation, and the platform
# endpoint inside Azure.
_NEVER = tuple(
    ipaddress.ip_network(network)
    for network in ("192.88.99.0/24", "192.0.0.0/24", "3fff::/20", "168.63.129.16/32")
)


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet.

    IPv6 forms that carry an IPv4 address (mapped, NAT64, 6to4) are judged by the address they
    carry. Loopback, private, link-local, shared, multicast, reserved and documentation ranges are
    not public, nor is anything unreadable.

    Args:
        address: An address as the resolver or the socket returns it; an IPv6 zone (``%eth0``) is
            allowed.
    """
    try:
        parsed: Address = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        carried = _carried_ipv4(parsed)
        if carried is not None:
            parsed = carried
        elif parsed not in _GLOBAL_UNICAST:
            return False
    if any(parsed.version == network.version and parsed in network for network in _NEVER):
        return False
    return parsed.is_global and not (parsed.is_multicast or parsed.is_reserved)


def literal_address(host: str) -> str | None:
    """The address that a URL's host denotes without DNS, or None if it is a name.

    Besides the usual forms, this reads what a C resolver reads: decimal (``2130706433``),
    hexadecimal (``0x7f.0.0.1``), octal (``0177.0.0.1``) and shortened (``127.1``) IPv4.
    """
    bare = host.strip("[]").replace("%25", "%").rstrip(".")
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(bare))
    except (OSError, ValueError):
        return None


def _carried_ipv4(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def may_be_public(host: str) -> bool:
    """Whether a host may be public, judged by its name alone."""
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return False
    literal = literal_address(host)
    return literal is None or is_public(literal)


def private_names(hosts: list[str], patience_s: float = 1.0) -> list[str]:
    """The host names that DNS resolves to non-public addresses. Names without a timely answer are
    left for later."""
    private: set[str] = set()

    def ask(host: str) -> None:
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        if any(not is_public(str(address[4][0])) for address in answers):
            private.add(host)

    # Daemon threads, not a pool: a pool would keep the process alive until the last silent name
    # server times out.
    threads = [threading.Thread(target=ask, args=(host,), daemon=True) for host in hosts[:64]]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + patience_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [host for host in hosts if host in private]
