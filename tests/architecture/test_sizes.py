"""Files and functions stay small enough to be read at once."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40
MAX_POSITIONAL = 5
BARRED_NAMES = {"utils", "common", "helpers", "manager", "queue", "types", "json", "logging"}


def sources() -> list[Path]:
    folders = ("web", "workers", "pipeline", "storage", "clients/python", "deploy", "bench")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return [path for path in found if "migrations/versions" not in str(path)]


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from ``def`` to the end, without the docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_there_is_something_to_measure() -> None:
    assert len(sources()) > 40


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_file_and_its_functions_are_small(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= MAX_FILE_LINES, f"{lines} lines: split by duty"
    for function in functions(path):
        length = body_lines(function)
        assert length <= MAX_FUNCTION_LINES, f"{function.name} has {length} lines"
        positional = [argument.arg for argument in function.args.posonlyargs + function.args.args]
        count = len([name for name in positional if name not in ("self", "cls")])
        assert count <= MAX_POSITIONAL, f"{function.name} takes {count} positional arguments"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_a_drawer_or_shadows_the_standard_library(path: Path) -> None:
    assert path.stem not in BARRED_NAMES
