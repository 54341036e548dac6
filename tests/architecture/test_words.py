"""The states that the documents name are the states of the code, and every link in them leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from storage.job import JobState, SegmentState

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")])


def states_of_table(title: str) -> list[str]:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    table = text[text.index(f"| {title} |") :].split("\n\n")[0]
    return re.findall(r"^\| `([a-z]+)` \|", table, flags=re.MULTILINE)


def test_architecture_names_every_state_of_a_job_and_of_a_segment_in_order() -> None:
    assert states_of_table("job state") == [state.value for state in JobState]
    assert states_of_table("segment state") == [state.value for state in SegmentState]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_of_a_document_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", path.read_text())
    assert [target for target in targets if not (path.parent / target).exists()] == []
