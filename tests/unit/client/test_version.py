"""The package and its metadata name one version."""

from __future__ import annotations

from pathlib import Path

import framequeue


def test_the_version_is_the_same_in_the_package_and_its_metadata() -> None:
    import tomllib

    project = Path(framequeue.__file__).parents[1] / "pyproject.toml"
    assert tomllib.loads(project.read_text())["project"]["version"] == framequeue.__version__
