"""Which addresses inputs are fetched from."""

from __future__ import annotations

import ipaddress

import pytest

from workers.addresses import is_public

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1",
    "223.255.255.254", "2606:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888", "2400::1",
]  # fmt: skip

PRIVATE = [
    # this host, this network
    "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254", "::", "::1",
    # private, shared (carrier NAT), link-local with the clouds' metadata
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "100.127.255.255",
    "100.100.100.200", "169.254.0.1", "169.254.169.254", "fe80::1", "febf::1", "fc00::1", "fd00:ec2::254", "fec0::1",
    "feff::1", "168.63.129.16",
    # multicast, broadcast, reserved
    "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "ff02::1", "ff0e::1",
    # protocol assignments, documentation, benchmarks
    "192.0.0.1", "192.0.0.170", "192.0.0.192", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1",
    "198.19.255.255", "192.88.99.1", "2001:db8::1", "3fff::1", "2001:2::1", "2001:10::1", "2001:20::1", "100::1",
    "5f00::1",
    # an IPv4 address inside an IPv6 one: mapped, compatible, NAT64, 6to4, Teredo, ISATAP
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "::127.0.0.1", "::8.8.8.8",
    "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001::1",
    "2001:0:7f00:1::",
    "2606:4700::5efe:127.0.0.1", "2606:4700::200:5efe:10.0.0.1",
    # a zone names an interface of this machine
    "fe80::1%eth0", "2606:4700::1%lo",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_fetched_from(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PRIVATE)
def test_no_other_address_is(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


def test_an_operator_may_close_public_networks_too() -> None:
    denied = [ipaddress.ip_network("8.8.8.0/24"), ipaddress.ip_network("2606:4700::/32")]
    assert not is_public(ipaddress.ip_address("8.8.8.8"), denied)
    assert not is_public(ipaddress.ip_address("2606:4700::1"), denied)
    assert is_public(ipaddress.ip_address("8.8.4.4"), denied)
