"""Which addresses are public, and what an operator may allow besides."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.public_addresses import Allowed, allowed, inner, refusal

NOBODY = Allowed()

PUBLIC = ["93.184.216.34", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1", "64:ff9b::5db8:d822"]

REFUSED = {
    "loopback": ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd00:ec2::254", "::ffff:10.0.0.1"],
    "shared by customers of a provider": ["100.64.0.1", "100.100.100.200", "100.127.255.255"],
    "link-local": ["169.254.169.254", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254", "2002:a9fe:a9fe::"],
    "this host": ["0.0.0.0", "0.1.2.3", "::"],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1"],
    "reserved": ["240.0.0.1", "255.255.255.255"],
    "Azure": ["168.63.129.16"],
    "of the protocol itself": ["192.0.0.192", "2001::1", "2001:0:7f00:1::1", "2001:2::1"],
    "for documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "for measurements": ["198.18.0.1", "198.19.255.255"],
    "none of the internet's": ["::7f00:1", "::127.0.0.1", "64:ff9b:1::a00:1", "4000::1", "fec0::1", "100::1"],
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_sent_to(address: str) -> None:
    assert refusal("hooks.example.org", address, NOBODY) is None


@pytest.mark.parametrize(("why", "address"), [(why, address) for why, some in REFUSED.items() for address in some])
def test_others_are_not_and_it_is_said_why(why: str, address: str) -> None:
    said = refusal("hooks.example.org", address, NOBODY)
    assert said is not None
    assert said.startswith(f"{ip_address(address)} is ")
    assert why in said


@given(st.ip_addresses(v=4))
def test_an_address_inside_another_is_judged_as_itself(address: IPv4Address) -> None:
    number = int(address)
    outer = [
        IPv6Address(0xFFFF << 32 | number),
        IPv6Address(0x64FF9B << 96 | number),
        IPv6Address(0x2002 << 112 | number << 80),
    ]
    assert [inner(one) for one in outer] == [address] * 3
    is_public = refusal("h", str(address), NOBODY) is None
    assert [refusal("h", str(one), NOBODY) is None for one in outer] == [is_public] * 3


@given(st.ip_addresses(v=6))
def test_what_is_not_known_to_be_public_is_refused(address: IPv6Address) -> None:
    """What the standard library calls private, or outside of what was given out, is never public."""
    seen = inner(address)
    if refusal("h", str(address), NOBODY) is None:
        assert isinstance(seen, IPv4Address) or int(seen) >> 125 == 1
        assert not any((seen.is_private, seen.is_loopback, seen.is_link_local, seen.is_multicast, seen.is_reserved))


@given(st.ip_addresses(v=4))
def test_no_address_is_public_that_the_standard_library_calls_private(address: IPv4Address) -> None:
    if address.is_private or address.is_multicast or address.is_reserved or address.is_unspecified:
        assert refusal("h", str(address), NOBODY) is not None


def test_who_is_allowed_by_name_may_be_at_home_and_nowhere_stranger() -> None:
    may = allowed(["Hooks.Internal."])
    for address in ("10.0.0.1", "127.0.0.1", "::1", "100.64.0.1", "::ffff:192.168.0.1", "93.184.216.34"):
        assert refusal("hooks.internal", address, may) is None
    for address in ("169.254.169.254", "0.0.0.0", "224.0.0.1", "fe80::1", "168.63.129.16", "::ffff:169.254.169.254"):
        assert refusal("hooks.internal", address, may) is not None
    assert refusal("other.internal", "10.0.0.1", may) is not None
    assert refusal("hooks.internal.example.org", "10.0.0.1", may) is not None


def test_what_is_allowed_by_address_may_be_anything() -> None:
    may = allowed(["10.1.0.0/16", "169.254.169.254", "fd00::/8"])
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "169.254.169.254", "fd00::1"):
        assert refusal("h", address, may) is None
    for address in ("10.2.0.1", "169.254.169.253", "fc00::1", "127.0.0.1"):
        assert refusal("h", address, may) is not None


@pytest.mark.parametrize(
    "entry", ["10.1.2.3/16", "http://hooks", "hooks:8080", "", " ", "127.1", "*", "*.internal", "a..b", "é"]
)
def test_what_allows_nothing_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="expected an address, a network such as"):
        allowed([entry])
