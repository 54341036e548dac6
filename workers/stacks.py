"""What faulthandler leaves of a process that hung or crashed, as a stack that a person can read."""

from __future__ import annotations

import re

#: lines of the thread to blame, and of all others
MAX_FRAMES = 40
MAX_CHARACTERS = 6000

_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>\S+)')
_TIMEOUT = re.compile(r"^Timeout \((?P<after>[\d:.]+)\)!")


def blamed(dump: str) -> str:
    """Return the stack of the thread to blame, most recent call last, as Python's own tracebacks are.

    After a crash that is the one marked as current, after a hang the main one, which faulthandler lists last.
    """
    lines = dump.splitlines()
    starts = [place for place, line in enumerate(lines) if line.startswith(("Thread 0x", "Current thread 0x"))]
    if not starts:
        return dump.strip()[-MAX_CHARACTERS:]
    current = [place for place in starts if lines[place].startswith("Current")]
    frames = []
    for line in lines[(current or starts)[-1] + 1 :]:
        found = _FRAME.match(line)
        if found is None:
            break
        frames.append('  File "{file}", line {line}, in {function}'.format(**found.groupdict()))
    stack = "\n".join(["Traceback (most recent call last):", *reversed(frames[:MAX_FRAMES])])
    return stack[-MAX_CHARACTERS:]


def silent_for(dump: str) -> str | None:
    """Return how long the process had given no sign of life (``0:02:00``) when its watchdog ended it, else None."""
    found = _TIMEOUT.match(dump)
    return found["after"] if found else None
