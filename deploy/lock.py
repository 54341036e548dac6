"""Write ``deploy/requirements/lock.txt``: one exact version for everything the images and the environment install.

    python -m deploy.lock            # rewrite it from what is installed here
    python -m deploy.lock --check    # exit 1 if it is out of step

The pins in ``deploy/requirements/*.txt`` say what we ask for; the lock adds what those bring along. It is a
constraints file: ``pip install -c deploy/requirements/lock.txt -r ...`` installs no more than is asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REQUIREMENTS = Path(__file__).parent / "requirements"
LOCK = REQUIREMENTS / "lock.txt"
HEADER = """\
# Exact versions of everything, direct and brought along; made by `python -m deploy.lock`, not by hand.
# Local tags such as torch's "+cpu" are left out, so that one lock serves CPU and CUDA builds.
"""


class LockError(Exception):
    """A requirement is missing from this environment, or is there in another version than asked for."""


def asked_for(path: Path) -> Iterator[Requirement]:
    """Yield the requirements of a file and of the files it includes."""
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.split("#", 1)[0].strip()
        if text.startswith("-r "):
            yield from asked_for((path.parent / text[3:].strip()).resolve())
        elif text:
            yield Requirement(text)


def closure(path: Path) -> dict[str, str]:
    """Return name -> installed version of all that a requirements file needs here.

    Raises: LockError.
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    stack = list(asked_for(path))
    while stack:
        wanted = stack.pop()
        name = canonicalize_name(wanted.name)
        key = (name, frozenset(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        found[name] = _installed_version(wanted)
        stack.extend(_brought_along(wanted))
    return found


def _installed_version(wanted: Requirement) -> str:
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        raise LockError(f"{wanted} is not installed here") from None
    if not wanted.specifier.contains(version, prereleases=True):
        raise LockError(f"{wanted} is asked for, {version} is installed here")
    return version.split("+", 1)[0]


def _brought_along(wanted: Requirement) -> Iterator[Requirement]:
    for text in metadata.requires(wanted.name) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)):
            yield requirement


def render(pins: Mapping[str, str]) -> str:
    """Return the text of the lock."""
    return HEADER + "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))


def main() -> int:
    """Rewrite or check the lock."""
    text = render(closure(REQUIREMENTS / "dev.txt"))
    if "--check" in sys.argv[1:]:
        if LOCK.read_text(encoding="utf-8") == text:
            return 0
        print("deploy/requirements/lock.txt is out of step: run `python -m deploy.lock`", file=sys.stderr)
        return 1
    LOCK.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
