from __future__ import annotations

import pytest

from deploy.local.child import StartError
from deploy.local.layout import Layout
from deploy.local.leftovers import stop_place


def test_there_is_one_of_each_part_unless_told_otherwise() -> None:
    layout = Layout.of({})
    assert [layout.replicas(kind) for kind in ("web", "worker", "dispatcher")] == [
        ("web",),
        ("worker",),
        ("dispatcher",),
    ]
    assert layout.redis_persists
    assert layout.extra_of("worker") == {}


def test_replicas_are_numbered_from_two() -> None:
    layout = Layout.of({"FQ_LOCAL_WORKERS": "3", "FQ_LOCAL_WEBS": "2"})
    assert layout.replicas("worker") == ("worker", "worker-2", "worker-3")
    assert layout.replicas("web") == ("web", "web-2")


def test_a_part_is_told_what_its_name_and_every_fitting_pattern_say_the_later_first() -> None:
    layout = Layout.of({"FQ_LOCAL_EXTRA": '{"worker*": {"A": "all", "B": 1}, "worker-2": {"A": "second"}}'})
    assert layout.extra_of("worker") == {"A": "all", "B": "1"}
    assert layout.extra_of("worker-2") == {"A": "second", "B": "1"}
    assert layout.extra_of("web") == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FQ_LOCAL_WORKERS", "0"),
        ("FQ_LOCAL_WEBS", "-1"),
        ("FQ_LOCAL_DISPATCHERS", "many"),
        ("FQ_LOCAL_WORKERS", "17"),
        ("FQ_LOCAL_EXTRA", "worker=1"),
        ("FQ_LOCAL_EXTRA", '{"worker": 1}'),
        ("FQ_LOCAL_REDIS_PERSISTS", "no"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(StartError, match=name):
        Layout.of({name: value})


def test_replicas_stop_together_with_the_first_of_their_kind() -> None:
    names = ["postgres", "worker-2", "dispatcher", "web-2", "worker", "web"]
    assert sorted(names, key=stop_place) == ["web-2", "web", "worker-2", "worker", "dispatcher", "postgres"]
