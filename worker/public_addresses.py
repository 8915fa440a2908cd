"""Addresses on the internet that anybody may be sent to, and those that are somebody's own; pure.

Whoever lets others name a server, or trusts a name service with it, may be sent to what only this machine and its neighbours
reach: a database without a password, the credentials that a cloud gives to its machines. In goes an address as it was resolved;
out comes why nothing is sent there, or None. What may be sent there all the same is said by an operator.

Laws (each has a test of the same name):
    what is not known to be public is refused;
    an address inside another is judged as itself;
    who is allowed by name may be at home, and nowhere stranger.

Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890); RFC 4291 section 2.5.5 (mapped), RFC 3056 section 2
(6to4), RFC 6052 section 2.1 (NAT64). The tables of the standard library changed within Python 3.11.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

HOME = (
    ("10.0.0.0/8", "private"),
    ("172.16.0.0/12", "private"),
    ("192.168.0.0/16", "private"),
    ("100.64.0.0/10", "shared by customers of a provider"),
    ("127.0.0.0/8", "loopback"),
    ("fc00::/7", "private"),
    ("::1/128", "loopback"),
)
"""Where an operator's own servers are."""

STRANGE = (
    ("0.0.0.0/8", "this host"),
    ("169.254.0.0/16", "link-local, where clouds keep the credentials of their machines"),
    ("168.63.129.16/32", "the platform of Azure"),
    ("192.0.0.0/24", "of the protocol itself"),
    ("192.0.2.0/24", "for documentation"),
    ("192.88.99.0/24", "a relay of 6to4"),
    ("198.18.0.0/15", "for measurements"),
    ("198.51.100.0/24", "for documentation"),
    ("203.0.113.0/24", "for documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "this host"),
    ("fe80::/10", "link-local"),
    ("ff00::/8", "multicast"),
    ("2001::/23", "of the protocol itself"),  # Teredo, benchmarking and ORCHID among them
    ("2001:db8::/32", "for documentation"),
    ("3fff::/20", "for documentation"),
)
"""Where no server is that one would name."""

AT_HOME = [(ip_network(network), what) for network, what in HOME]
ELSEWHERE = [(ip_network(network), what) for network, what in STRANGE]

GLOBAL = ip_network("2000::/3")
"""All of IPv6 that was given out for the internet."""

MAPPED, NAT64, SIX_TO_FOUR = ip_network("::ffff:0:0/96"), ip_network("64:ff9b::/96"), ip_network("2002::/16")

NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})?(\.[a-z0-9_]([a-z0-9_-]{0,62})?)*\.?")


@dataclass(frozen=True, slots=True)
class Allowed:
    """What an operator lets be sent to though it is not public: *networks*, and hosts by their *names*."""

    networks: tuple[Network, ...] = ()
    names: frozenset[str] = frozenset()

    def has(self, host: str, address: Address) -> bool:
        """Tell whether *host*, which is at *address*, is one of them."""
        within = any(is_in(one, network) for network in self.networks for one in (address, inner(address)))
        return within or (_plain(host) in self.names and _why(AT_HOME, inner(address)) is not None)


def allowed(entries: Iterable[str]) -> Allowed:
    """Return what *entries* allow, each a network (`10.1.0.0/16`), an address or the name of a host.

    Raises:
        ValueError: one is none of these.
    """
    networks, names = list[Network](), set[str]()
    for entry in entries:
        try:
            networks.append(ip_network(entry))
        except ValueError as exc:
            if not NAME.fullmatch(_plain(entry)) or re.fullmatch(r"[\d.]+", entry):
                what = "an address, a network such as 10.1.0.0/16, or the name of a host such as hooks.internal"
                raise ValueError(f"{entry[:300]!a}: expected {what}") from exc
            names.add(_plain(entry))
    return Allowed(tuple(networks), frozenset(names))


def refusal(host: str, text: str, may: Allowed) -> str | None:
    """Return why nothing is sent to *host* at the address *text*, None where it may be; *may* goes before all."""
    address = ip_address(text)
    if may.has(host, address):
        return None
    seen = inner(address)
    why = _why(ELSEWHERE, seen) or _why(AT_HOME, seen)
    if why is None and isinstance(seen, IPv6Address) and not is_in(seen, GLOBAL):
        why = "none of the internet's"
    return None if why is None else f"{address} is {why}"


def inner(address: Address) -> Address:
    """Return the IPv4 address that is reached through *address*, or *address* itself."""
    if isinstance(address, IPv6Address):
        if is_in(address, MAPPED) or is_in(address, NAT64):
            return IPv4Address(int(address) & 0xFFFFFFFF)
        if is_in(address, SIX_TO_FOUR):
            return IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    return address


def is_in(address: Address, network: Network) -> bool:
    """Tell whether *address* lies in *network*, whatever interface it names."""
    return address.version == network.version and int(address) & int(network.netmask) == int(network.network_address)


def _why(table: Iterable[tuple[Network, str]], address: Address) -> str | None:
    return next((what for network, what in table if is_in(address, network)), None)


def _plain(host: str) -> str:
    return host.lower().removesuffix(".")
