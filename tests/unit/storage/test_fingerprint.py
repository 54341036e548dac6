"""Which errors count as the same."""

from __future__ import annotations

from typing import Any

import pytest

from storage.fingerprint import error_fingerprint

STACK = 'Traceback:\n  File "/srv/app/pipeline/run.py", line {line}, in step\n    raise ValueError\n'


def error(**changes: Any) -> dict[str, Any]:
    return {"code": "worker.error", "message": "ValueError: frame 17 of 300", "stack": STACK.format(line=10)} | changes


@pytest.mark.parametrize(
    "other",
    [
        error(message="ValueError: frame 4 of 9"),
        error(stack=STACK.format(line=99)),
        error(worker="another", advice="other"),
        error(stack=STACK.format(line=1).replace("/srv/app", "/opt")),
    ],
)
def test_numbers_lines_folders_and_workers_do_not_tell_errors_apart(other: dict[str, Any]) -> None:
    assert error_fingerprint(error()) == error_fingerprint(other)


@pytest.mark.parametrize(
    "other",
    [
        error(code="worker.lost"),
        error(message="KeyError: frame 17 of 300"),
        error(stack=STACK.format(line=10).replace("in step", "in other")),
        error(stage="decode"),
        error(stack=None),
    ],
)
def test_code_message_place_and_stage_tell_errors_apart(other: dict[str, Any]) -> None:
    assert error_fingerprint(error()) != error_fingerprint(other)
