from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.faults import measure, report, results
from bench.faults.load import Sent
from bench.faults.scenario import UnknownScenario, chosen, registry

RESULT = results.Result(
    scenario="redis-kill",
    fault="kill it",
    bar="Nothing is lost.",
    passed=True,
    figures={"jobs": 12, "recovery_seconds": {"p50": 0.5, "never": 0}},
    note="",
    broken={},
    counts={},
    seed=3,
    scale=1.0,
    minutes=2.0,
    date="2026-01-02 03:04 UTC",
    machine="2 cores (Abacus), load 0.5 before",
    revision="abc",
)


def test_every_scenario_says_in_a_sentence_what_it_does_and_what_must_hold() -> None:
    found = registry()
    assert {"kill-child", "kill-worker", "redis-kill", "postgres-kill", "worker-freeze", "soak"} <= set(found)
    assert list(found)[-1] == "soak"
    for scenario in found.values():
        assert len(scenario.fault.split()) > 2, scenario.name
        assert len(scenario.bar.split()) > 2, scenario.name


def test_scenarios_are_chosen_by_name_in_the_order_asked_for() -> None:
    assert [scenario.name for scenario in chosen("soak, kill-child")] == ["soak", "kill-child"]
    with pytest.raises(UnknownScenario, match=r"no scenario nonsense; there are: .*kill-child"):
        chosen("kill-child,nonsense")


def test_the_table_names_what_was_measured_and_what_was_not() -> None:
    table = report.render([RESULT])
    row = next(line for line in table.splitlines() if line.startswith("| `redis-kill`"))
    assert row == (
        "| `redis-kill` | Kill it | Nothing is lost | jobs 12, recovery seconds p50 0.5 never 0"
        " | 3, 2026-01-02, load 0.5 |"
    )
    assert "| `postgres-kill` |" in table
    assert table.count("not run at full size yet") == len(registry()) - 1
    assert table.endswith("Machine: 2 cores (Abacus).")


def test_a_missed_bar_a_broken_promise_and_a_smaller_size_are_told() -> None:
    row = report.render([replace(RESULT, passed=False, broken={"job.lost": 2}, scale=0.1)])
    assert "**missed**; **broken: job.lost 2**; jobs 12" in row
    assert "at 0.1 of the size" in row


def test_the_table_is_written_between_its_markers_and_nothing_else_is_touched(tmp_path: Path) -> None:
    document = tmp_path / "guarantees.md"
    document.write_text(f"before\n{report.BEGIN}\nof yesteryear\n{report.END}\nafter\n")
    assert report.rewrite(document)
    text = document.read_text()
    assert text.startswith(f"before\n{report.BEGIN}\n| scenario |")
    assert text.endswith(f"{report.END}\nafter\n")
    assert "of yesteryear" not in text
    assert not report.rewrite(document)


def test_the_page_in_the_repository_shows_the_figures_that_are_kept() -> None:
    text = report.DOCUMENT.read_text()
    assert report.render(results.read_all()) in text, "run `python -m bench.faults report`"


def test_a_terminal_shows_a_missed_bar_with_the_first_line_of_its_reason() -> None:
    shown = results.table([replace(RESULT, passed=False, note="jobs are queued\nmuch else")])
    assert "redis-kill  MISSED  Nothing is lost." in shown
    assert "jobs are queued" in shown
    assert "much else" not in shown


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.5, 3.0), (0.99, 5.0), (1.0, 5.0)])
def test_a_percentile_is_one_of_the_values(share: float, value: float) -> None:
    assert measure.percentile([5.0, 1.0, 2.0, 4.0, 3.0], share) == value


def test_answers_are_counted_by_status_and_silence_by_its_name() -> None:
    sent = [Sent("k", 1, 0, 0.0, 1.0, status) for status in (202, 0, 503, 202)]
    assert measure.statuses(sent) == {"202": 2, "503": 1, "none": 1}


@pytest.mark.parametrize(
    ("recovery", "fits"),
    [
        ({"count": 0, "p99": None}, True),
        ({"count": 3, "p99": 19.9}, True),
        ({"count": 3, "p99": 20.1}, False),
        ({"count": 3, "p99": None}, False),
    ],
)
def test_a_recovery_that_never_came_is_not_within_any_limit(recovery: dict[str, float | None], fits: bool) -> None:
    assert measure.within(recovery, "p99", 20.0) is fits
