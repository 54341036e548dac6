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


def sources(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return [path for path in found if "migrations/versions" not in str(path)]


PRODUCT = sources("web", "workers", "pipeline", "storage", "clients/python", "deploy", "bench")
TESTS = sources("tests")


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


def place(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_is_something_to_measure() -> None:
    assert len(PRODUCT) > 400
    assert len(TESTS) > 300


@pytest.mark.parametrize("path", [*PRODUCT, *TESTS], ids=place)
def test_file_and_its_functions_are_small(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= MAX_FILE_LINES, f"{lines} lines: split by duty"
    for function in functions(path):
        length = body_lines(function)
        assert length <= MAX_FUNCTION_LINES, f"{function.name} has {length} lines"


def test_no_function_takes_many_positional_arguments() -> None:
    """Of the product: what tests take are fixtures and parameters, which come by name."""
    for path in PRODUCT:
        for function in functions(path):
            positional = [argument.arg for argument in function.args.posonlyargs + function.args.args]
            count = len([name for name in positional if name not in ("self", "cls")])
            assert count <= MAX_POSITIONAL, f"{function.name} of {place(path)} takes {count} positional arguments"


def test_no_module_is_a_drawer_or_shadows_the_standard_library() -> None:
    assert [place(path) for path in [*PRODUCT, *TESTS] if path.stem in BARRED_NAMES] == []
