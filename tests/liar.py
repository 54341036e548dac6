"""A child of the cage that was taken over: it speaks the cage's language and says what it likes.

Run by a program that takes the interpreter's place, so that the cage starts it as it starts its own child.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
_START = """
import json, math, mmap, os, resource, socket, struct, sys, time
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
sys.path.insert(0, {root!r})
from pipeline.cage_wire import pack, receive_request
control, answers, tokens = socket.socket(fileno=int(sys.argv[5])), int(sys.argv[6]), int(sys.argv[7])
def say(head, payload=b""):
    os.write(answers, pack(head, len(payload)) + payload)
def hear():
    return receive_request(control, 1 << 20)
def room(size):
    say(dict(type="room", bytes=size))
    head, _, memory = hear()
    return memory
def frame(**lies):
    say(dict(type="frame", place=0, pts=0, seconds=0.0, scale=1.0, height=2, width=2) | lies)
say(dict(type="ready", in_force=dict()))
asked = hear()[0]
"""


def write_liar(folder: Path, lie: str) -> Path:
    """Return a program that starts as the cage's child and then does ``lie``, in Python, with what is above at hand."""
    script, program = folder / "liar.py", folder / "interpreter"
    script.write_text(_START.format(root=str(ROOT)) + lie + "\ntime.sleep(60)\n")
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
    program.chmod(0o755)
    return program
