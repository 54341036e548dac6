"""Heads of batches and places of items, read strictly."""

from __future__ import annotations

from typing import Any

import pytest

from web.batch_orders import BatchHead, BatchOrder, ReplayFailedOrder, key_of, place_of, read_order
from web.errors import Problem


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({"url": "https://example.org/a.jpg"}, ("url", "https://example.org/a.jpg")),
        ({"object": "s3://archive/a.jpg", "key": "a"}, ("object", "s3://archive/a.jpg")),
        ({"upload_id": "x", "url": None}, ("upload_id", "x")),
        ({"prefix": "s3://archive/2026/"}, ("prefix", "s3://archive/2026/")),
        ({"prefix": "s3://archive/"}, ("prefix", "s3://archive/")),
        ({"prefix": "s3://archive/a?b#c"}, ("prefix", "s3://archive/a?b#c")),
    ],
)
def test_an_item_names_one_place(members: dict[str, Any], place: tuple[str, str]) -> None:
    assert place_of(members) == place


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({}, "item.invalid"),
        ({"url": "https://example.org/a", "object": "s3://a/b"}, "item.invalid"),
        ({"url": "ftp://example.org/a"}, "item.invalid"),
        ({"url": "https://user:secret@example.org/a"}, "item.invalid"),
        ({"url": 7}, "item.invalid"),
        ({"object": "archive/a.jpg"}, "item.invalid"),
        ({"prefix": "archive/2026/"}, "item.invalid"),
        ({"prefix": "s3://archive"}, "item.invalid"),
        ({"prefix": "s3:///2026/"}, "item.invalid"),
        ({"prefix": "s3://archive/\n"}, "item.invalid"),
        ({"prefix": ["s3://archive/"]}, "item.invalid"),
        ({"file": "a.jpg"}, "item.file"),
    ],
)
def test_any_other_item_is_refused_with_a_code(members: dict[str, Any], code: str) -> None:
    with pytest.raises(Problem) as refused:
        place_of(members)
    assert refused.value.code == code
    assert "secret" not in str(refused.value.detail)


@pytest.mark.parametrize("key", ["", "x" * 256, 7, ["a"], {"a": 1}])
def test_a_key_is_text_of_1_to_255_characters(key: Any) -> None:
    with pytest.raises(Problem, match="key"):
        key_of({"key": key})
    assert key_of({"key": "x" * 255}) == "x" * 255
    assert key_of({}) is None


@pytest.mark.parametrize(
    ("head", "path"),
    [
        ({"name": ""}, "/batch/name"),
        ({"max_queue": 0}, "/batch/max_queue"),
        ({"max_queue": "many"}, "/batch/max_queue"),
        ({"unknown": 1}, "/batch/unknown"),
        ({"defaults": {"priority": "asap"}}, "/batch/defaults/priority"),
        ({"defaults": {"input": {}}}, "/batch/defaults/input"),
        ({"defaults": {"batch_id": "x"}}, "/batch/defaults"),
        ({"items": []}, "/batch/items"),
        (7, "/batch/"),
    ],
)
def test_a_wrong_head_is_told_with_its_place(head: Any, path: str) -> None:
    with pytest.raises(Problem) as refused:
        read_order(head, BatchHead, at="/batch")
    assert refused.value.code == "request.invalid"
    assert [fault["path"] for fault in refused.value.faults] == [path]


def test_defaults_hold_only_what_was_said() -> None:
    head = read_order({"defaults": {"params": {"width": 320}, "priority": "low"}}, BatchHead)
    assert head.defaults.members() == {"params": {"width": 320}, "priority": "low"}


def test_heads_that_say_the_same_have_one_fingerprint() -> None:
    one = read_order({"name": "a", "defaults": {"pipeline": "motion"}}, BatchHead)
    other = read_order({"defaults": {"pipeline": "motion"}, "name": "a", "open": False, "items": [1]}, BatchOrder)
    assert one.fingerprint == other.fingerprint
    for change in ({"name": "b"}, {"max_queue": 1}, {"open": True}, {"defaults": {"pipeline": "detect"}}):
        changed = read_order({"name": "a", "defaults": {"pipeline": "motion"}} | change, BatchHead)
        assert changed.fingerprint != one.fingerprint


@pytest.mark.parametrize("states", [[], ["succeeded"], ["failed", "canceled"], "failed"])
def test_only_failed_and_dead_jobs_are_replayed(states: Any) -> None:
    with pytest.raises(Problem):
        read_order({"states": states}, ReplayFailedOrder)
    assert read_order({}, ReplayFailedOrder).states == ["failed", "dead"]
