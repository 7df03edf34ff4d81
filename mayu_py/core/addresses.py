"""Address ranges: which addresses are free. Knows nothing of leases or hosts."""

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address

from mayu_py.errors import RangeExhausted


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses from `start` to `end`, both included. `name` is what an error calls it."""

    start: IPv4Address
    end: IPv4Address
    name: str = "the range"

    def __contains__(self, address: object) -> bool:
        return isinstance(address, IPv4Address) and self.start <= address <= self.end

    def __len__(self) -> int:
        return max(0, int(self.end) - int(self.start) + 1)

    def overlaps(self, other: "Range") -> bool:
        """Whether the two have an address in common."""
        return self.start <= other.end and other.start <= self.end

    def first_free(self, taken: Collection[IPv4Address]) -> IPv4Address:
        """The lowest address that is not taken. Raises RangeExhausted with the range's name."""
        numbers = {int(address) for address in taken}
        for number in range(int(self.start), int(self.end) + 1):
            if number not in numbers:
                return IPv4Address(number)
        raise RangeExhausted(
            f"{self.name} ({self.start} to {self.end}) has no free address: all {len(self)} are taken",
            hint="widen the range, or delete hosts that are gone",
        )
