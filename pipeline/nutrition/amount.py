"""A quantity that is known only within a range."""

from __future__ import annotations

from typing import NamedTuple


class Amount(NamedTuple):
    """A lower bound, the best guess and an upper bound of one non-negative quantity, in that order of size."""

    low: float
    value: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Amount:
        """Return a quantity without doubt."""
        return cls(value, value, value)

    def times(self, other: Amount | float) -> Amount:
        """Return the product; its bounds are the products of the bounds."""
        factor = other if isinstance(other, Amount) else Amount.exactly(other)
        return Amount(self.low * factor.low, self.value * factor.value, self.high * factor.high)

    def plus(self, other: Amount) -> Amount:
        """Return the sum; its bounds are the sums of the bounds, as if all errors pointed the same way."""
        return Amount(self.low + other.low, self.value + other.value, self.high + other.high)

    def power(self, exponent: float) -> Amount:
        """Return each of the three to a positive power."""
        return Amount(self.low**exponent, self.value**exponent, self.high**exponent)

    def told(self, digits: int = 1) -> dict[str, float]:
        """Return plain JSON data: {"value", "low", "high"}, rounded."""
        return {
            "value": round(self.value, digits),
            "low": round(self.low, digits),
            "high": round(self.high, digits),
        }
