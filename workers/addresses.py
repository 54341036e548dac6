"""Which network addresses a URL from outside may lead to: public ones alone."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: only this part of IPv6 is handed out as public; all else is local, multicast, mapped or translated
_PUBLIC_IPV6 = ipaddress.IPv6Network("2000::/3")

#: networks that Python 3.11 calls global, and that lead elsewhere all the same
_NOT_PUBLIC: tuple[Network, ...] = (
    ipaddress.IPv6Network("2001::/23"),  # protocol assignments; Teredo carries an IPv4 address
    ipaddress.IPv6Network("2002::/16"),  # 6to4 carries an IPv4 address
    ipaddress.IPv6Network("3fff::/20"),  # documentation, RFC 9637
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments
    ipaddress.IPv4Network("192.88.99.0/24"),  # 6to4 relays
    ipaddress.IPv4Network("168.63.129.16/32"),  # Azure's host answers here, with secrets, to every machine in it
)

#: ISATAP: the low half of an IPv6 address names an IPv4 host behind a tunnel
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})


def is_public(address: Address, denied: Sequence[Network] = ()) -> bool:
    """Whether an address is global unicast, carries no other address inside, and is in no ``denied`` network."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, ipaddress.IPv6Address) and not _plain_ipv6(address):
        return False
    return not any(address in network for network in (*_NOT_PUBLIC, *denied))


def _plain_ipv6(address: ipaddress.IPv6Address) -> bool:
    if address.scope_id is not None or address not in _PUBLIC_IPV6:
        return False
    return (int(address) >> 32) & 0xFFFF_FFFF not in _ISATAP
