"""Of addresses and ports: what the rules want of each prefix that one of them names. Pure."""

import ipaddress
from dataclasses import dataclass, field

from rules.addresses import Network, Ports
from rules.model import ConnectMatch, Rule
from rules.wants import NOTHING, WITH_STOP, Want, union, want_of
from wire.acts import Transport

# More ports than this in one rule are taken as every port: the kernel stores them one by one.
MOST_PORTS = 256


@dataclass(frozen=True, slots=True)
class ByTransport:
    """What is wanted of acts by TCP, by UDP, and by whatever else there is: raw IP and the rest."""

    tcp: Want = NOTHING
    udp: Want = NOTHING
    other: Want = NOTHING

    @classmethod
    def every(cls, want: Want) -> "ByTransport":
        """Return the same for each."""
        return cls(want, want, want)

    @property
    def packed(self) -> int:
        """As the kernel has it: four bits each, and above them once what goes with any stop."""
        each = (self.tcp, self.udp, self.other)
        bits = (int(want & ~WITH_STOP) << 4 * place for place, want in enumerate(each))
        return sum(bits) | int(union(each) & WITH_STOP)


@dataclass(frozen=True, slots=True)
class NetworkWant:
    """What is wanted of one prefix. A port that is listed has only the bits listed for it."""

    any_port: ByTransport
    ports: dict[int, ByTransport] = field(default_factory=dict)


def reaches_unix(match: ConnectMatch) -> bool:
    """Return whether a unix socket could meet the conditions."""
    if match.address is not None or match.port is not None:
        return False
    return match.transport is None or Transport.UNIX in match.transport


def reaches_network(match: ConnectMatch) -> bool:
    """Return whether anything but a unix socket could meet the conditions."""
    if match.path is not None:
        return False
    return match.transport is None or match.transport != {Transport.UNIX}


def networks_of(rules: list[Rule]) -> dict[Network, NetworkWant]:
    """Return what is wanted of each prefix that a rule names, and of all the rest."""
    about = [
        (rule.match, want_of(rule))
        for rule in rules
        if isinstance(rule.match, ConnectMatch) and reaches_network(rule.match)
    ]
    if not about:
        return {}
    regions: set[Network] = {ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv6Network("::/0")}
    for match, _ in about:
        for networks in (match.address, match.negated and match.negated.address):
            regions.update(networks.networks if networks else ())
    return {region: _region(region, about) for region in regions}


def _region(region: Network, about: list[tuple[ConnectMatch, Want]]) -> NetworkWant:
    here = [(match, want) for match, want in about if _concerns(match, region)]
    named: set[int] = set()
    for match, _ in here:
        named |= _listed(match.port) | _listed(match.negated.port if match.negated else None)
    any_port = _by_transport([(m, want) for m, want in here if _listed_none(m.port)])
    ports = {}
    for port in sorted(named):
        wants = _by_transport([(m, want) for m, want in here if _takes(m, port)])
        if wants != any_port:
            ports[port] = wants
    return NetworkWant(any_port, ports)


def _by_transport(about: list[tuple[ConnectMatch, Want]]) -> ByTransport:
    def of(*transports: Transport) -> Want:
        return union(
            want
            for match, want in about
            if match.transport is None or not match.transport.isdisjoint(transports)
        )

    return ByTransport(of(Transport.TCP), of(Transport.UDP), of(Transport.RAW, Transport.OTHER))


def _concerns(match: ConnectMatch, region: Network) -> bool:
    if match.address is not None and not match.address.cover(region):
        return False
    excepted = match.negated.address if match.negated else None
    return excepted is None or not excepted.cover(region)


def _listed(ports: Ports | None) -> frozenset[int]:
    return frozenset() if ports is None or ports.count() > MOST_PORTS else ports.each()


def _listed_none(ports: Ports | None) -> bool:
    return ports is None or ports.count() > MOST_PORTS


def _takes(match: ConnectMatch, port: int) -> bool:
    if not _listed_none(match.port) and port not in _listed(match.port):
        return False
    return port not in _listed(match.negated.port if match.negated else None)
