"""``.env.example`` is what the settings classes say, and its values are values that they take."""

from __future__ import annotations

import re

import pytest

from deploy import env_example


def test_the_example_is_in_step_with_the_settings_classes() -> None:
    assert env_example.FILE.read_text(encoding="utf-8") == env_example.render(), "run `python -m deploy.env_example`"


def test_every_setting_is_there_once_with_a_meaning() -> None:
    text = env_example.FILE.read_text(encoding="utf-8")
    names = re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=", text, re.MULTILINE)
    assert len(names) == len(set(names))
    assert env_example.readers().keys() <= set(names)
    for process, kind in env_example.PROCESSES.items():
        for name, field in env_example.settings_of(kind).items():
            assert field.description, f"{name} of {process} has no description"


def test_nothing_secret_has_a_value() -> None:
    text = env_example.FILE.read_text(encoding="utf-8")
    shown = re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=(.*)$", text, re.MULTILINE)
    secret = {
        name: value for name, value in shown if re.search(r"PASSWORD|SECRET|ACCESS_KEY|BASIC_AUTH|DATABASE_URL", name)
    }
    assert "FQ_STORE_SECRET" in secret
    assert {name for name, value in secret.items() if value} == set()


@pytest.mark.parametrize("process", env_example.PROCESSES)
def test_the_defaults_shown_are_the_defaults_when_they_are_uncommented(process: str) -> None:
    kind = env_example.PROCESSES[process]
    shown = dict(re.findall(r"^# (FQ_[A-Z0-9_]*)=(.+)$", env_example.FILE.read_text(encoding="utf-8"), re.MULTILINE))
    needed = {
        "database_url": "postgresql://u@h/d", "redis_url": "redis://h", "store": "s3://bucket",
        "public_url": "https://q.example.org",
    }  # fmt: skip
    needed = {name: value for name, value in needed.items() if name in kind.model_fields}
    plain = kind(**needed).model_dump()
    fields = {name: shown[f"FQ_{name.upper()}"] for name in kind.model_fields if f"FQ_{name.upper()}" in shown}
    fields = {name: value for name, value in fields.items() if not value.startswith("[")}
    assert kind(**(fields | needed)).model_dump() == plain
