"""What is installed: pinned, locked, and split so that each image gets no more than it needs."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.utils import canonicalize_name

from deploy import lock
from tests.architecture.compose_file import REPOSITORY

FILES = sorted(path for path in lock.REQUIREMENTS.glob("*.txt") if path != lock.LOCK)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_requirement_is_pinned_to_one_version(path: object) -> None:
    for wanted in lock.asked_for(path):  # type: ignore[arg-type]
        assert [spec.operator for spec in wanted.specifier] == ["=="], str(wanted)
        assert "*" not in str(wanted.specifier)


def test_the_lock_is_in_step_with_what_is_asked_for_and_installed() -> None:
    assert lock.LOCK.read_text(encoding="utf-8") == lock.render(lock.closure(lock.REQUIREMENTS / "dev.txt")), (
        "run `python -m deploy.lock`"
    )


def test_the_lock_serves_cpu_and_cuda_builds() -> None:
    pins = re.findall(r"^([^#=]+)==(.+)$", lock.LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(pins) == len({name for name, _ in pins})
    assert all("+" not in version for _, version in pins)
    assert "torch" in dict(pins)


def test_the_light_image_asks_for_nothing_heavy_directly_or_brought_along() -> None:
    found = lock.closure(lock.REQUIREMENTS / "web.txt") | lock.closure(lock.REQUIREMENTS / "ops.txt")
    heavy = {"torch", "numpy", "av", "onnxruntime", "pillow", "opencv-python-headless", "opencv-python"}
    assert heavy & found.keys() == set()


def test_there_is_one_opencv_and_it_needs_no_screen() -> None:
    names = {canonicalize_name(name) for name in lock.closure(lock.REQUIREMENTS / "dev.txt")}
    assert {name for name in names if "opencv" in name} == {"opencv-python-headless"}


def test_no_file_names_where_packages_come_from() -> None:
    for path in [*FILES, lock.LOCK, REPOSITORY / "Dockerfile.web", REPOSITORY / "Dockerfile.gpu"]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://(?!127\.0\.0\.1)|--(extra-)?index-url|--find-links", text), path.name


def test_what_the_client_asks_for_is_what_the_lock_holds() -> None:
    project = tomllib.loads((REPOSITORY / "clients/python/pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = dict(re.findall(r"^([^#=]+)==(.+)$", lock.LOCK.read_text(encoding="utf-8"), re.MULTILINE))
    for text in project["dependencies"]:
        wanted = lock.Requirement(text)
        assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)]), text


def test_a_requirement_that_is_not_installed_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("requirements") / "x.txt"
    path.write_text("click==0.0.1\n")
    with pytest.raises(lock.LockError, match=r"click==0\.0\.1 is asked for"):
        lock.closure(path)
    path.write_text("framequeue-has-no-such-package==1\n")
    with pytest.raises(lock.LockError, match="is not installed"):
        lock.closure(path)
