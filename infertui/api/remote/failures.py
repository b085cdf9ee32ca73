"""How often somebody at an address may fail to show a token: a bucket for each, which empties with time. Pure."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

BURST = 10
"""Failures that an address has at once."""
RECOVER_S = 2.0
"""Seconds after which one of them is forgotten."""
MOST = 4096
"""Addresses that are remembered; the one that failed longest ago gives way."""
_V6_NETWORK = 64


class Failures:
    """Failures by address. IPv6 counts by network: whoever has one address of it has all of them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Seconds for which nothing of that address is looked at; 0: it may try."""
        return max(0.0, self._level(_network(address)) - (BURST - 1)) * RECOVER_S

    def failed(self, address: str) -> None:
        """It has failed once more."""
        network = _network(address)
        level = self._level(network) + 1
        self._levels.pop(network, None)
        self._levels[network] = (level, self._clock())
        while len(self._levels) > MOST:
            self._levels.popitem(last=False)

    def _level(self, network: str) -> float:
        level, since = self._levels.get(network, (0.0, 0.0))
        return max(0.0, level - (self._clock() - since) / RECOVER_S)


def _network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, _V6_NETWORK), strict=False))
    return str(found)
