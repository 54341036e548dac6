"""Forms read as they arrive."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from web.errors import Problem
from web.multipart import CHUNK_BYTES, StreamedForm


class Trickle(io.RawIOBase):
    """A body that comes in pieces of a given size and counts what was taken."""

    def __init__(self, data: bytes, piece: int) -> None:
        self._data, self._piece, self.taken = data, piece, 0

    def read(self, size: int = -1) -> bytes:
        end = self.taken + min(self._piece, size if size >= 0 else self._piece)
        piece, self.taken = self._data[self.taken : end], min(end, len(self._data))
        return piece


def field(name: str, value: str) -> bytes:
    return f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def file(content: bytes, name: str = "file", filename: str = "a.mp4") -> bytes:
    head = f'--edge\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
    return head.encode() + b"Content-Type: video/mp4\r\n\r\n" + content + b"\r\n"


END = b"--edge--\r\n"


def form_of(data: bytes, piece: int = CHUNK_BYTES) -> StreamedForm:
    return StreamedForm(Trickle(data, piece), b"edge")  # type: ignore[arg-type]


def code_of(data: bytes) -> str:
    form = form_of(data)
    with pytest.raises(Problem) as caught:
        read_all(form)
    return caught.value.code


def read_all(form: StreamedForm) -> None:
    found = form.next_file()
    while found is not None and found.read(1000):
        pass
    form.finish()


@pytest.mark.parametrize("cut", range(1, 16))
def test_a_read_that_ends_inside_a_delimiter_adds_nothing_to_the_file(cut: int) -> None:
    content = bytes(1000)
    before = len(file(content)) - 2  # where the delimiter's line break begins

    class Cut(io.RawIOBase):
        pieces = [(file(content) + END)[: before + cut], (file(content) + END)[before + cut :]]

        def read(self, size: int = -1) -> bytes:
            return self.pieces.pop(0) if self.pieces else b""

    found = StreamedForm(Cut(), b"edge").next_file()  # type: ignore[arg-type]
    assert found is not None
    assert b"".join(iter(lambda: found.read(CHUNK_BYTES), b"")) == content


@settings(max_examples=200, deadline=None)
@given(
    content=st.one_of(st.binary(max_size=400), st.text("\r\n-edg", max_size=60).map(str.encode)),
    piece=st.integers(1, 80),
    size=st.integers(1, 50),
)
def test_the_file_comes_out_byte_for_byte_however_it_arrives(content: bytes, piece: int, size: int) -> None:
    if b"\n--edge" in content or b"\r--edge" in content or content.startswith(b"--edge"):
        return  # that would be the end of the part
    form = form_of(field("pipeline", "motion") + file(content) + field("params", "{}") + END, piece)
    found = form.next_file()
    assert found is not None
    assert (found.filename, found.content_type) == ("a.mp4", "video/mp4")
    assert form.fields == {"pipeline": "motion"}
    got = b"".join(iter(lambda: found.read(size), b""))
    assert got == content
    assert found.read(10) == b""
    form.finish()
    assert form.fields == {"pipeline": "motion", "params": "{}"}


def test_peeking_takes_nothing_away() -> None:
    found = form_of(file(b"0123456789") + END, 3).next_file()
    assert found is not None
    assert (found.peek(4), found.peek(100)) == (b"0123", b"0123456789")
    assert found.read(100) == b"0123456789"


def test_no_more_is_read_than_is_asked_for() -> None:
    stream = Trickle(file(bytes(50 * CHUNK_BYTES)) + END, CHUNK_BYTES)
    found = StreamedForm(stream, b"edge").next_file()  # type: ignore[arg-type]
    assert found is not None
    found.peek(100)
    assert stream.taken <= 2 * CHUNK_BYTES


def test_a_form_without_a_file_has_its_fields() -> None:
    form = form_of(field("a", "ä") + END)
    assert form.next_file() is None
    assert form.fields == {"a": "ä"}


def test_a_json_field_may_come_as_a_blob_with_a_file_name() -> None:
    head = b'--edge\r\nContent-Disposition: form-data; name="params"; filename="blob"\r\n'
    form = form_of(head + b'Content-Type: application/json; charset=utf-8\r\n\r\n{"a": 1}\r\n' + file(b"1") + END)
    found = form.next_file()
    assert found is not None
    assert (found.read(9), form.fields) == (b"1", {"params": '{"a": 1}'})


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "body.truncated"),
        (field("a", "1"), "body.truncated"),
        (file(b"123")[:-2], "body.truncated"),
        (file(b"123"), "body.truncated"),
        (field("a", "1") + field("a", "2") + END, "request.invalid"),
        (field("file", "text") + END, "request.invalid"),
        (file(b"1", name="video") + END, "request.invalid"),
        (file(b"1") + file(b"2") + END, "request.invalid"),
        (b"--edge\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\xff\xfe\r\n" + END, "request.invalid"),
        (b"--edge\r\nX: y\r\n\r\n1\r\n" + END, "body.malformed"),
        (b"".join(field(f"f{number}", "1") for number in range(70)) + END, "body.too_large"),
        (field("a", "x" * 600_000) + END, "body.too_large"),
        (b"x" * 600_000, "body.too_large"),
    ],
)  # fmt: skip
def test_a_bad_form_is_a_clear_problem(data: bytes, code: str) -> None:
    assert code_of(data) == code


class Gone(io.RawIOBase):
    """A client that goes away in mid body."""

    def read(self, size: int = -1) -> bytes:
        raise ConnectionResetError("peer")


def test_a_broken_connection_is_a_truncated_body() -> None:
    with pytest.raises(Problem) as caught:
        StreamedForm(Gone(), b"edge").next_file()  # type: ignore[arg-type]
    assert caught.value.code == "body.truncated"
