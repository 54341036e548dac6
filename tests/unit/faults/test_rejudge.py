"""A kept history is judged again as it was."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from click.testing import CliRunner

from bench.faults.history import load_history, write_history
from bench.faults.rejudge import main
from tests.unit.faults.histories import Sound, sound


def keep(made: Sound, folder: Path) -> Path:
    folder.mkdir()
    write_history(made.history, folder / "history.jsonl.gz")
    faults = [{"kind": "kill", **asdict(kill)} for kill in made.kills]
    (folder / "faults.json").write_text(json.dumps(faults))
    return folder


def test_a_history_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    made = sound()
    assert load_history(keep(made, tmp_path / "run") / "history.jsonl.gz") == made.history


def test_a_kept_run_is_judged_and_its_recovery_told(tmp_path: Path) -> None:
    keep(sound(), tmp_path / "kill-child")
    answer = CliRunner().invoke(main, [str(tmp_path)])
    assert answer.exit_code == 0, answer.output
    assert "kill-child: every promise kept: 0 acknowledged, 5 jobs" in answer.output
    assert "recovery {'count': 2, 'never': 0" in answer.output


def test_a_kept_run_that_broke_a_rule_is_told_by_the_exit_code(tmp_path: Path) -> None:
    made = sound()
    made.kills.clear()
    keep(made, tmp_path / "run")
    answer = CliRunner().invoke(main, [str(tmp_path)])
    assert answer.exit_code == 1
    assert "executions.excess" in answer.output
