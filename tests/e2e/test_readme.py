"""The commands that README.md prints work as printed."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from bench.embedded import EmbeddedStack
from deploy.local.home import REPOSITORY

README = REPOSITORY / "README.md"


def talk() -> str:
    """The shell lines under "Talk to it"."""
    section = README.read_text().split("## Talk to it")[1].split("\n## ")[0]
    [block] = re.findall(r"```sh\n(.*?)```", section, re.S)
    return block


@pytest.fixture
def folder(stack: EmbeddedStack, tmp_path: Path) -> Path:
    """What a reader's folder looks like while `make up` runs: the checkout, with a `.local` in it."""
    (tmp_path / ".local").symlink_to(stack.home.root)
    for name in ("deploy", "pipeline", "clients", ".venv"):
        if (REPOSITORY / name).exists():
            (tmp_path / name).symlink_to(REPOSITORY / name)
    return tmp_path


def shell(script: str, folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_conversation_in_the_readme_ends_with_a_result_and_its_frames(folder: Path) -> None:
    told = shell(talk(), folder)
    assert '"succeeded"' in told
    assert '"pts_seconds"' in told
    lines = (folder / "frames.csv").read_text().splitlines()
    assert lines[0].startswith("index,")
    assert {int(line.split(",")[0]) for line in lines[1:]} == set(range(0, 250, 5))


def test_the_command_line_in_the_readme_gives_a_result(folder: Path) -> None:
    [line] = re.findall(r"`(\.venv/bin/framequeue submit [^`]*)`", README.read_text())
    assert "succeeded" in shell(line + " --json", folder)


def test_the_make_commands_in_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.M))
    named = set(re.findall(r"^make ([a-z-]+)", README.read_text(), re.M)) | set(
        re.findall(r"`make ([a-z-]+)`", README.read_text())
    )
    assert {"demo", "test", "up"} <= named <= targets
