"""Histories of some jobs with one thing wrong with one of them, drawn at random."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from bench.faults.history import Event
from tests.unit.faults.histories import WAYS, Sound, sound


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[Sound, str]:
    """Some jobs, and one thing wrong with one of them."""
    made = sound(draw(st.lists(st.sampled_from(WAYS), min_size=1, max_size=6)))
    kind = draw(st.sampled_from(sorted(SPOILERS)))
    targets = [one for one in made.history.all_events() if SPOILERS[kind][0](one)]
    if not targets:
        kind = "drop an end"
        targets = [one for one in made.history.all_events() if SPOILERS[kind][0](one)]
    chosen = draw(st.sampled_from(targets))
    SPOILERS[kind][1](made, chosen)
    return made, f"{kind}: {chosen}"


def _swap(made: Sound, one: Event) -> None:
    made.change_event(one, one._replace(claim_id="another"))


def _drop(made: Sound, one: Event) -> None:
    made.change_event(one)


def _double(made: Sound, one: Event) -> None:
    made.change_event(one, one, one)


def _alter_hash(made: Sound, one: Event) -> None:
    made.change_segment(str(one.segment_id), rows_sha256="0" * 64)


def _move_to_the_next_run(made: Sound, one: Event) -> None:
    made.change_event(one, one._replace(run=one.run + 1))


def _bring_forward(made: Sound, one: Event) -> None:
    """To the very beginning, before anything could have led to it."""
    made.change_event(one)
    made.history.events[one.job_id].insert(1, one)


def _told_of_again(one: Event) -> bool:
    """A claim of which a cancel was all that came: no other event names it, so nobody can miss it."""
    return one.kind == "claimed" and not (one.job_id.startswith("replayed") and str(one.claim_id).endswith("c2"))


OUTCOMES = {"done", "retried", "held_up", "given_back", "rejected", "buried"}
ENDS = {"succeeded", "dead", "canceled"}
SPOILERS: dict[str, tuple[Callable[[Event], bool], Callable[[Sound, Event], None]]] = {
    "swap the claim of an outcome": (lambda one: one.kind in OUTCOMES | {"planned", "lost"}, _swap),
    "swap a claim": (_told_of_again, _swap),
    "drop an end": (lambda one: one.kind in ENDS, _drop),
    "drop an outcome": (lambda one: one.kind in OUTCOMES, _drop),
    "drop a claim": (_told_of_again, _drop),
    "drop a plan": (lambda one: one.kind == "planned", _drop),
    "drop a merge": (lambda one: one.kind == "merging", _drop),
    "drop a replay": (lambda one: one.kind == "replayed", _drop),
    "double an outcome": (lambda one: one.kind in OUTCOMES, _double),
    "double an end": (lambda one: one.kind in ENDS, _double),
    "double a claim": (lambda one: one.kind == "claimed", _double),
    "double a merge": (lambda one: one.kind == "merging", _double),
    "alter a hash": (lambda one: one.kind == "done" and one.data is not None, _alter_hash),
    "move an outcome to another run": (lambda one: one.kind in OUTCOMES | ENDS, _move_to_the_next_run),
    "bring an outcome forward": (lambda one: one.kind in OUTCOMES | ENDS, _bring_forward),
}
