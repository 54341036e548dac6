"""In any order of things, rows name what is there."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from storage.audit import Actor
from storage.dead.filter import DeadFilter
from storage.dead.letters import DeadLetters
from storage.errors import InputGone, JobNotFound, StateConflict
from storage.job import JobState
from tests.integration.retention.bed import Bed


def _moves(bed: Bed, dice: random.Random) -> Iterator[Callable[[], Any]]:
    """What may happen next, for ever."""
    dead = DeadLetters(bed.queue.database)
    jobs: list[str] = []
    while True:
        name = dice.choice(["end", "age", "replay", "duty", "discard", "cancel", "sweep"])
        if name == "end" or not jobs:
            state = dice.choice([JobState.SUCCEEDED, JobState.DEAD, JobState.FAILED, JobState.CANCELED])
            bed.queue.execute("UPDATE segments SET tag = tag + 1000 WHERE state = 'ready'")
            jobs.append(bed.ended(state, days=dice.choice([0, 31, 61, 91])))
        elif name == "age":
            yield partial(bed.queue.execute, "UPDATE jobs SET finished_at = finished_at - interval '30 days'")
        elif name == "replay":
            yield partial(_replay, bed, dice.choice(jobs))
        elif name == "cancel":
            yield partial(_cancel, bed, dice.choice(jobs))
        else:
            calls = {"duty": bed.duty.run_pass, "sweep": bed.walk}
            yield calls.get(name, partial(dead.discard, DeadFilter(), by=Actor("key")))


def _replay(bed: Bed, job_id: str) -> None:
    with suppress(InputGone, StateConflict, JobNotFound):
        bed.queue.store.replay(job_id)


def _cancel(bed: Bed, job_id: str) -> None:
    with suppress(JobNotFound):
        bed.queue.store.cancel(job_id)


@pytest.mark.parametrize("seed", range(6))
def test_in_any_order_of_things_rows_name_what_is_there(bed: Bed, old_litter: None, seed: int) -> None:
    moves = _moves(bed, random.Random(seed))
    for _ in range(40):
        next(moves)()
        named = bed.queue.execute(
            "SELECT input_key AS key FROM jobs WHERE input_key IS NOT NULL"
            " UNION ALL SELECT rows_key FROM segments WHERE rows_key IS NOT NULL"
        )
        there = {item.key for item in bed.objects.list("")}
        assert {row.key for row in named} <= there
        lost = bed.queue.execute(
            "SELECT id FROM jobs WHERE input_key IS NULL AND (finished_at IS NULL OR state = 'dead'"
            " AND discarded_at IS NULL AND finished_at > clock_timestamp() - interval '60 days')"
        )
        assert lost == []
