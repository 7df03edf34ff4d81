"""Address ranges: which addresses are free. Knows nothing of leases or hosts."""

from collections.abc import Container
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

    def first_free(self, taken: Container[int], after: int = 0) -> IPv4Address:
        """The lowest address beyond `after` that is not taken. Raises RangeExhausted with the range's name.

        Taken addresses are numbers: making thousands of them from a set of addresses costs more than all the rest.
        """
        for number in range(max(int(self.start), after + 1), int(self.end) + 1):
            if number not in taken:
                return IPv4Address(number)
        raise RangeExhausted(
            f"{self.name} ({self.start} to {self.end}) has no free address: all {len(self)} are taken",
            hint="widen the range, or delete hosts that are gone",
        )
