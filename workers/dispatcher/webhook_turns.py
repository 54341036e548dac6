"""Whose webhooks go next: receivers take turns, and none can hold all threads by being slow. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from storage.webhooks.outbox import Receiver


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many events may be on their way at once, of one dispatcher."""

    per_receiver: int
    per_tenant: int

    @classmethod
    def of(cls, threads: int) -> Bounds:
        """A receiver gets a quarter of the threads, a tenant three quarters."""
        return cls(max(1, threads // 4), max(1, threads * 3 // 4))


def share_out(
    free: int,
    due: Iterable[Receiver],
    in_hand: Mapping[Receiver, int],
    troubled: Container[Receiver],
    bounds: Bounds,
) -> dict[Receiver, int]:
    """Deal ``free`` threads out, one to each receiver in order, and again, as far as its bounds allow.

    in_hand: what each receiver has on its way. troubled: receivers whose last attempt failed; they get one at a time
    until one succeeds, so that a dead one with a thousand events waits in one thread and not in four.
    """
    held = Counter(in_hand)
    tenants: Counter[str] = Counter()
    for receiver, count in in_hand.items():
        tenants[receiver.tenant] += count
    rooms: Counter[Receiver] = Counter()
    waiting = list(due)
    while free > 0 and waiting:
        still: list[Receiver] = []
        for receiver in waiting:
            most = 1 if receiver in troubled else bounds.per_receiver
            if free == 0 or held[receiver] >= most or tenants[receiver.tenant] >= bounds.per_tenant:
                continue
            free -= 1
            held[receiver] += 1
            tenants[receiver.tenant] += 1
            rooms[receiver] += 1
            still.append(receiver)
        waiting = still
    return dict(rooms)
