"""What faulthandler leaves is read from real processes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from storage.fingerprint import error_fingerprint
from workers.stacks import blamed, end_of


def dump_of(tmp_path: Path, program: str) -> str:
    """Run a program that ends with a dump in the file ``dump``."""
    source = """
        import faulthandler, threading, time, ctypes
        file = open("dump", "w")
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        def inner():
            {program}
        def outer():
            inner()
    """
    (tmp_path / "program.py").write_text(textwrap.dedent(source).replace("{program}", program) + "\nouter()\n")
    subprocess.run([sys.executable, "program.py"], cwd=tmp_path, check=False, timeout=30)
    return (tmp_path / "dump").read_text()


def functions(stack: str) -> list[str]:
    return [line.rpartition(" in ")[2] for line in stack.splitlines() if line.startswith("  File")]


HANGS = "faulthandler.dump_traceback_later(1, exit=True, file=file); time.sleep(60)"


def test_a_hang_shows_the_main_thread_most_recent_call_last(tmp_path: Path) -> None:
    dump = dump_of(tmp_path, HANGS)
    assert end_of(dump) == "the worker process gave no sign of life for 0:00:01 and was ended"
    stack = blamed(dump)
    assert stack.startswith("Traceback (most recent call last):")
    assert functions(stack) == ["<module>", "outer", "inner"]


def test_a_crash_shows_the_thread_that_crashed_and_is_told(tmp_path: Path) -> None:
    dump = dump_of(tmp_path, "faulthandler.enable(file); faulthandler._sigsegv()")
    assert end_of(dump) == "the worker process crashed: Segmentation fault"
    assert functions(blamed(dump)) == ["<module>", "outer", "inner"]


def test_the_place_of_a_hang_groups_dead_letters(tmp_path: Path) -> None:
    hangs = {"code": "worker.lost", "message": "silent", "stack": blamed(dump_of(tmp_path, HANGS))}
    elsewhere = {**hangs, "stack": hangs["stack"].replace("in inner", "in another")}
    assert error_fingerprint(hangs) != error_fingerprint(elsewhere)


def test_no_dump_is_no_stack() -> None:
    assert blamed("") == ""
    assert end_of("") is None


def test_how_celery_came_to_call_a_task_is_left_out(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "celery"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "trace.py").write_text("def call(task):\n    task()\n")
    program = f"import sys; sys.path.insert(0, {str(package.parent)!r}); from celery.trace import call; "
    dump = dump_of(tmp_path, program + f"call(lambda: ({HANGS.replace(';', ',')}))")
    assert "in call" in dump
    assert functions(blamed(dump)) == ["<lambda>"]
