"""What faulthandler leaves of a process that hung or crashed, as a stack that a person can read."""

from __future__ import annotations

import re

#: lines of the thread to blame, and of all others
MAX_FRAMES = 40
MAX_CHARACTERS = 6000

_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>\S+)')
#: below these nothing is ours: Celery's way to a task, the same in every stack
_CELERY = re.compile(r"/site-packages/(celery|billiard|kombu)/")
_CRASH = re.compile(r"^Fatal Python error: (?P<what>.+)", re.MULTILINE)
_TIMEOUT = re.compile(r"^Timeout \((?P<after>[\d:.]+)\)!")


def blamed(dump: str) -> str:
    """Return the stack of the thread to blame, most recent call last, as Python's own tracebacks are.

    After a crash that is the one marked as current, after a hang the main one, which faulthandler lists last. How
    Celery came to call our task is left out.
    """
    lines = dump.splitlines()
    starts = [place for place, line in enumerate(lines) if line.startswith(("Thread 0x", "Current thread 0x"))]
    if not starts:
        return dump.strip()[-MAX_CHARACTERS:]
    current = [place for place in starts if lines[place].startswith("Current")]
    frames: list[str] = []
    for line in lines[(current or starts)[-1] + 1 :]:
        found = _FRAME.match(line)
        if found is None or (frames and _CELERY.search(found["file"])):
            break
        frames.append('  File "{file}", line {line}, in {function}'.format(**found.groupdict()))
    stack = "\n".join(["Traceback (most recent call last):", *reversed(frames[:MAX_FRAMES])])
    return stack[-MAX_CHARACTERS:]


def end_of(dump: str) -> str | None:
    """Say in words what ended the process, where its watchdog or its crash handler has left word of it."""
    silent, crash = _TIMEOUT.match(dump), _CRASH.match(dump)
    if silent:
        return f"the worker process gave no sign of life for {silent['after']} and was ended"
    return f"the worker process crashed: {crash['what']}" if crash else None
