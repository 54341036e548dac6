"""Result rows on disk."""

from __future__ import annotations

import gzip
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rows import RowWriter, pack_rows, read_rows, unpack_rows

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(), plain, max_size=4), max_size=6))
def test_rows_come_back_as_they_were_written(rows):
    assert list(unpack_rows(pack_rows(rows))) == rows


def test_equal_rows_give_equal_bytes(tmp_path):
    for name in ("a", "other"):
        with RowWriter(tmp_path / name) as writer:
            writer.write_all([{"index": 1, "label": "Grüße"}] * 3)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "other").read_bytes()
    assert (tmp_path / "a").read_bytes() == pack_rows([{"index": 1, "label": "Grüße"}] * 3)


def test_a_file_is_gzip_with_one_json_object_a_line(tmp_path):
    with RowWriter(tmp_path / "rows") as writer:
        writer.write({"a": "line\nbreak"})
        writer.write({"b": 2})
        assert writer.count == 2
    lines = gzip.decompress((tmp_path / "rows").read_bytes()).decode().splitlines()
    assert [json.loads(line) for line in lines] == [{"a": "line\nbreak"}, {"b": 2}]


def test_a_number_that_json_has_no_word_for_is_refused(tmp_path):
    with RowWriter(tmp_path / "rows") as writer, pytest.raises(ValueError, match="Out of range"):
        writer.write({"score": float("nan")})


def test_a_file_that_was_cut_short_is_an_error_not_a_short_result(tmp_path):
    data = pack_rows({"index": number, "text": str(number) * 9} for number in range(2000))
    (tmp_path / "cut").write_bytes(data[: len(data) // 2])
    with pytest.raises(EOFError):
        list(read_rows(tmp_path / "cut"))


def test_reading_and_writing_keep_one_row_in_memory(tmp_path):
    tracemalloc.start()
    try:
        with RowWriter(tmp_path / "rows") as writer:
            writer.write_all(
                {"index": number, "objects": [{"label": "person", "box": [number] * 4}]} for number in range(20_000)
            )
        assert sum(row["index"] for row in read_rows(tmp_path / "rows")) == sum(range(20_000))
        assert tracemalloc.get_traced_memory()[1] < 2 * 1024**2
    finally:
        tracemalloc.stop()
