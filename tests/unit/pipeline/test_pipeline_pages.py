"""The page of each system names every parameter and every field of its summary."""

from __future__ import annotations

import re

import pytest

from pipeline.evaluate_command import SYSTEMS
from pipeline.pipelines.catalog import load_pipelines
from tests.services import REPOSITORY


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_systems_page_explains_what_goes_in_and_what_comes_out(name):
    page = (REPOSITORY / "docs" / "pipelines" / f"{name}.md").read_text(encoding="utf-8")
    parameters, _, rest = page.partition("## Parameters")[2].partition("## The summary")
    told = rest.partition("\n## ")[0]
    spec = load_pipelines([name])[name].spec
    missing = [one for one in spec.params_schema["properties"] if one not in _named(parameters)]
    missing += [one for one in spec.summary_fields if one not in _named(told)]
    assert missing == []


def _named(text: str) -> set[str]:
    return set(re.findall(r"`([a-z0-9_]+)[`.\[]", text))
