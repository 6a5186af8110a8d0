"""Address prefixes and port ranges, as values that are quick to ask.

Hides that an IPv4 address may come mapped into IPv6: it is read as the IPv4 address it reaches.
"""

import ipaddress
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def unmapped(network: Network) -> Network:
    """Return the IPv4 prefix that an IPv4-mapped IPv6 prefix stands for; others unchanged."""
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        low = int(network.network_address) & 0xFFFF_FFFF
        return ipaddress.IPv4Network((low, network.prefixlen - 96))
    return network


@lru_cache(maxsize=4096)
def parse_address(text: str) -> tuple[int, int] | None:
    """Return (IP version, address as a number), or None for what is no address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.version, int(address)


@dataclass(frozen=True, slots=True)
class Networks:
    """Address prefixes, any of which may hold an address."""

    networks: tuple[Network, ...]
    # By IP version the first and the last address of each prefix that lies in no other, in order.
    # Prefixes are nested or apart, so one look-up serves lists of many thousands.
    _ranges: dict[int, tuple[list[int], list[int]]] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        ranges: dict[int, tuple[list[int], list[int]]] = {}
        for network in sorted(
            self.networks, key=lambda n: (n.version, n.network_address, n.prefixlen)
        ):
            lows, highs = ranges.setdefault(network.version, ([], []))
            low, high = int(network.network_address), int(network.broadcast_address)
            if not highs or low > highs[-1]:
                lows.append(low)
                highs.append(high)
        object.__setattr__(self, "_ranges", ranges)

    def hold(self, address: tuple[int, int]) -> bool:
        """Return whether any prefix holds an address as parse_address gives it."""
        version, number = address
        return self._holds(version, number, number)

    def cover(self, network: Network) -> bool:
        """Return whether one prefix holds the whole of `network`."""
        low, high = int(network.network_address), int(network.broadcast_address)
        return self._holds(network.version, low, high)

    def _holds(self, version: int, low: int, high: int) -> bool:
        lows, highs = self._ranges.get(version, ((), ()))
        at = bisect_right(lows, low) - 1
        return at >= 0 and high <= highs[at]


@dataclass(frozen=True, slots=True)
class Ports:
    """Port ranges, both ends included."""

    ranges: tuple[tuple[int, int], ...]

    def hold(self, port: int) -> bool:
        """Return whether any range holds the port."""
        return any(low <= port <= high for low, high in self.ranges)

    def count(self) -> int:
        """Return how many ports the ranges name, twice where they overlap."""
        return sum(high - low + 1 for low, high in self.ranges)

    def each(self) -> frozenset[int]:
        """Return every port named."""
        return frozenset(port for low, high in self.ranges for port in range(low, high + 1))
