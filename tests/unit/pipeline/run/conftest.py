"""The bed of every test of a run."""

from __future__ import annotations

import pytest

from tests.unit.pipeline.run.bed import Bed


@pytest.fixture
def bed(tmp_path):
    return Bed(tmp_path)
