"""Flags between main process and children."""

from __future__ import annotations

import os

from workers.flags import SharedFlags


def in_child(action) -> int:  # type: ignore[no-untyped-def]
    """Run in a forked child and return its exit status."""
    pid = os.fork()
    if pid == 0:
        os._exit(int(action() or 0))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_stop_is_seen_across_the_fork() -> None:
    flags = SharedFlags()
    assert in_child(lambda: flags.stopping) == 0
    in_child(flags.stop)
    assert flags.stopping
    assert not flags.stopping_here


def test_a_process_may_stop_alone() -> None:
    flags = SharedFlags()
    assert in_child(lambda: flags.stop_here() or flags.stopping) == 1
    assert not flags.stopping


def test_a_bell_a_child_has_heard_is_known_to_all() -> None:
    flags = SharedFlags()
    before = flags.unheard_seconds
    in_child(flags.hear)
    assert 0.0 <= flags.unheard_seconds < before + 5.0


def test_a_childs_work_ends_the_idleness_of_all() -> None:
    flags = SharedFlags()
    before = flags.idle_seconds
    in_child(flags.touch)
    assert 0.0 <= flags.idle_seconds < before + 5.0
