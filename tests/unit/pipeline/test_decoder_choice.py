"""What a trial means, and what is believed of a child's word about it."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.cage_wire import GoneError
from pipeline.decoder_choice import WHY, Trial, Verdict, choose, verdict_of


def trial(cpu: float, wall: float, pictures: tuple[str, ...] = ("a", "b")) -> Trial:
    return Trial(pictures, cpu, wall)


@pytest.mark.parametrize(
    ("hardware", "on", "why"),
    [
        (trial(0.2, 0.5), "cuda:1", "quicker"),
        (trial(0.9, 1.0), "cuda:1", "quicker"),
        (trial(0.91, 0.5), "cpu", "slower"),  # saves no processor time
        (trial(0.2, 1.01), "cpu", "slower"),  # holds its caller up
        (trial(0.2, 0.5, ("a", "c")), "cpu", "different"),
        (trial(0.2, 0.5, ("b", "a")), "cpu", "different"),
        (trial(0.2, 0.5, ("a",)), "cpu", "different"),
        (trial(0.2, 0.5, ()), "cpu", "different"),
        (None, "cpu", "failed"),
    ],
)
def test_the_device_serves_if_it_gives_the_same_for_less(hardware: Trial | None, on: str, why: str) -> None:
    verdict = choose("cuda:1", trial(1.0, 1.0), hardware)
    assert (verdict.on, verdict.why) == (on, why)
    assert why in WHY


def test_no_pictures_prove_nothing() -> None:
    assert choose("cuda", trial(1.0, 1.0, ()), trial(0.1, 0.1, ())).why == "different"


def test_a_verdict_tells_what_was_measured() -> None:
    assert choose("cuda", trial(2.0, 4.0), trial(0.5, 3.0)) == Verdict("cuda", "quicker", 0.25, 0.75)


def test_a_verdict_survives_the_wire() -> None:
    for verdict in (Verdict("cpu", "asked"), Verdict("cuda:12", "quicker", 0.25, 1)):
        assert verdict_of(verdict.as_json()) == verdict


GOOD = Verdict("cuda", "quicker", 0.5, 0.5).as_json()


@pytest.mark.parametrize(
    "told",
    [None, [], "cuda", {}, {**GOOD, "more": 1}, {**GOOD, "on": "/bin/sh"}, {**GOOD, "on": "cuda\n"}, {**GOOD, "on": 1},
     {**GOOD, "why": "because"}, {**GOOD, "why": []}, {**GOOD, "cpu_ratio": "0.5"}, {**GOOD, "cpu_ratio": True},
     {**GOOD, "wall_ratio": float("nan")}, {**GOOD, "wall_ratio": -1.0}, {**GOOD, "wall_ratio": float("inf")}],
)  # fmt: skip
def test_a_child_that_tells_nonsense_of_its_decoder_is_not_believed(told: Any) -> None:
    with pytest.raises(GoneError):
        verdict_of(told)
