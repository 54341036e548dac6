"""The two images: linted, unprivileged, and with everything in them that their processes import."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.compose_file import REPOSITORY, services

DOCKERFILES = ("Dockerfile.web", "Dockerfile.gpu")
HEAVY = ("torch", "av", "cv2", "onnxruntime", "numpy", "PIL")
#: modules that run in the light image, by its commands
LIGHT_ENTRIES = ("web.wsgi", "web.app", "web.keys", "workers.dispatcher.__main__", "workers.dispatcher.wiring",
                 "workers.celery_app", "flower.app", "storage.migrate")  # fmt: skip


def _text(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_finds_nothing(name: str) -> None:
    beside_python = Path(sys.executable).parent / "hadolint"
    program = str(beside_python) if beside_python.exists() else shutil.which("hadolint")
    assert program, "hadolint comes with deploy/requirements/dev.txt"
    done = subprocess.run(
        [program, "--no-color", name], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_runs_as_nobody_in_particular_and_is_built_from_the_lock(name: str) -> None:
    text = _text(name)
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE)[-1] == "10001:10001"
    assert "--constraint /build/lock.txt" in text
    assert re.search(r"^ARG BASE_IMAGE=python:3\.11-slim-bookworm$", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE_IMAGE}"}
    assert not re.search(r"^(ARG|ENV) .*(PASSWORD|SECRET|TOKEN)", text, re.MULTILINE)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_holds_what_it_copies_and_the_context_lets_it_through(name: str) -> None:
    allowed = {line[1:] for line in _text(".dockerignore").splitlines() if line.startswith("!")}
    assert "*" in _text(".dockerignore").splitlines()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", _text(name), re.MULTILINE):
        for source in sources.split():
            assert (REPOSITORY / source).exists(), source
            assert source.rstrip("/") in allowed, source


def test_the_context_leaves_secrets_and_history_outside() -> None:
    allowed = {line[1:] for line in _text(".dockerignore").splitlines() if line.startswith("!")}
    assert not {".", ".env", ".git", ".local", "tests"} & allowed


def test_the_light_image_copies_no_model_and_the_worker_image_no_front_end() -> None:
    assert not re.search(r"^COPY models", _text("Dockerfile.web"), re.MULTILINE)
    assert "worker.txt" not in _text("Dockerfile.web")
    assert not re.search(r"^COPY web", _text("Dockerfile.gpu"), re.MULTILINE)


@pytest.mark.parametrize("entry", LIGHT_ENTRIES)
def test_what_runs_in_the_light_image_imports_without_a_heavy_library(entry: str) -> None:
    program = f"import json, sys, importlib; importlib.import_module({entry!r}); print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert [name for name in HEAVY if name in loaded] == []


def test_what_runs_in_the_worker_image_imports_no_front_end() -> None:
    program = (
        "import json, sys, workers.__main__, workers.migrate, workers.child_process, pipeline.command;"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert [name for name in loaded if name == "web" or name.startswith(("web.", "flask."))] == []


def test_every_command_of_compose_names_something_that_is_there() -> None:
    for name, service in services().items():
        command = service.get("command") or []
        if "build" not in service or command[:2] != ["python", "-m"]:
            continue
        place = REPOSITORY / Path(*command[2].split("."))
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), f"{name}: {command[2]}"
        top = command[2].split(".", maxsplit=1)[0]
        assert re.search(rf"^COPY {top}/ {top}/$", _text(service["build"]["dockerfile"]), re.MULTILINE), name
