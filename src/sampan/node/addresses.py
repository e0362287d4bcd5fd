"""Pod addresses of one node, out of its pod CIDR."""

from __future__ import annotations

import ipaddress

from sampan.base.errors import SampanError


class Addresses:
    """Who has which address. Nothing is stored here: sandboxes and pod records tell it after a restart.

    Network address, gateway (.1) and broadcast are never given. A freed address is the last to be given again, so
    that a client holding on to it does not talk to a stranger.
    """

    def __init__(self, cidr: str) -> None:
        self._network = ipaddress.IPv4Network(cidr)
        self._first = int(self._network.network_address) + 2
        self._count = self._network.num_addresses - 3
        self._owners: dict[str, str] = {}  # address → pod uid
        self._next = 0

    def claim(self, uid: str, address: str) -> bool:
        """Take this very address; False when another pod has it or it is none of ours."""
        if not address or ipaddress.IPv4Address(address) not in self._network:
            return False
        place = int(ipaddress.IPv4Address(address)) - self._first
        self._next = max(self._next, place + 1)  # what was in use before a restart is not given again soon
        return self._owners.setdefault(address, uid) == uid

    def allocate(self, uid: str, preferred: str = "") -> str:
        """The preferred address when it is free, else the next one. Raises SampanError when all are taken."""
        if self.claim(uid, preferred):
            return preferred
        for step in range(self._count):
            place = (self._next + step) % self._count
            address = str(ipaddress.IPv4Address(self._first + place))
            if address not in self._owners:
                self._next = place + 1
                self._owners[address] = uid
                return address
        raise SampanError(f"all {self._count} addresses of the pod network {self._network} are in use")

    def release(self, uid: str) -> None:
        """Free what the pod has; silent when it has nothing."""
        for address in [a for a, owner in self._owners.items() if owner == uid]:
            del self._owners[address]
