"""Lines of a manifest, whatever pieces they come in."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from web.errors import Problem
from web.manifest import LINE_BYTES_MAX, Line, chunks, read_lines


def reader(*pieces: bytes) -> Callable[[int], bytes]:
    left = iter(pieces)
    return lambda size: next(left, b"")


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([], []),
        ([b"\n\n  \n"], []),
        ([b"a\nb\n"], [(1, b"a"), (2, b"b")]),
        ([b"a\nb"], [(1, b"a"), (2, b"b")]),
        ([b"a\r\n\r\nb\r\n"], [(1, b"a\r"), (3, b"b\r")]),
        ([b"ab", b"c\n", b"d", b"\ne"], [(1, b"abc"), (2, b"d"), (3, b"e")]),
        ([b"\xef\xbb\xbf{}\n\xef\xbb\xbf{}\n"], [(1, b"{}"), (2, b"\xef\xbb\xbf{}")]),
        ([b"\n", b"\n", b"x"], [(3, b"x")]),
    ],
)
def test_lines_are_numbered_and_blank_ones_are_passed_over(pieces: list[bytes], lines: list[tuple[int, bytes]]) -> None:
    assert list(read_lines(reader(*pieces))) == [Line(number, text) for number, text in lines]


@pytest.mark.parametrize("excess", [1, 5 * LINE_BYTES_MAX])
@pytest.mark.parametrize("end", [b"\nnext\n", b""])
def test_a_line_that_is_too_long_is_told_and_the_next_one_is_read(excess: int, end: bytes) -> None:
    body = b"first\n" + b"x" * (LINE_BYTES_MAX + excess) + end
    pieces = [body[place : place + 1000] for place in range(0, len(body), 1000)]
    found = list(read_lines(reader(*pieces)))
    assert found[:2] == [Line(1, b"first"), Line(2, None)]
    assert found[2:] == ([Line(3, b"next")] if end else [])


def test_a_line_of_exactly_the_limit_is_taken() -> None:
    assert list(read_lines(reader(b"x" * LINE_BYTES_MAX, b"\n"))) == [Line(1, b"x" * LINE_BYTES_MAX)]


def test_an_endless_line_takes_no_memory() -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(500):
            yield b"x" * 64 * 1024

    left = pieces()
    tracemalloc.start()
    try:
        assert list(read_lines(lambda size: next(left, b""))) == [Line(1, None)]
        assert tracemalloc.get_traced_memory()[1] < 1024**2
    finally:
        tracemalloc.stop()


def test_half_a_line_of_a_client_that_went_away_is_none() -> None:
    left = iter([b'{"url": "a"}\n{"url": "b'])

    def read(size: int) -> bytes:
        try:
            return next(left)
        except StopIteration:
            raise OSError("connection reset") from None

    lines = read_lines(read)
    assert next(lines) == Line(1, b'{"url": "a"}')
    with pytest.raises(Problem) as refused:
        next(lines)
    assert refused.value.code == "body.truncated"


def test_a_body_shorter_than_announced_is_torn_whatever_the_server_says() -> None:
    lines = read_lines(reader(b"a\nb"), size_bytes=4)
    assert next(lines) == Line(1, b"a")
    with pytest.raises(Problem, match="4 bytes were announced, 3 came"):
        next(lines)
    assert [line.text for line in read_lines(reader(b"a\nb"), size_bytes=3)] == [b"a", b"b"]


def test_chunks_keep_the_order_and_the_size() -> None:
    assert list(chunks(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(chunks([], 3)) == []
