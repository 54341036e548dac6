"""Orders, settings and what comes in, read strictly."""

from __future__ import annotations

import hashlib

import pytest
from pydantic import ValidationError

from web.errors import Problem
from web.incoming import parse
from web.orders import Order, order_from_form
from web.settings import WebSettings
from web.submit import clean_name, fingerprint, predicted_cost

GOOD = {
    "database_url": "postgresql://db/fq", "redis_url": "redis://r", "store": "file:///tmp/x", "store_secret": "x" * 32,
}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ['{"a": NaN}', '{"a": 1e999}', '{"a": "\\u0000"}', '{"a": "\\ud800"}', '{"a": 1, "a": 2}', "[" * 100 + "]" * 100,
     "[" * 100_000, "{", "", "{'a': 1}"],
)  # fmt: skip
def test_what_is_not_json_or_cannot_be_stored_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


def test_a_form_names_all_its_faults_at_once() -> None:
    with pytest.raises(Problem) as caught:
        order_from_form({"params": "{", "priority": "x", "nonsense": "1", "metadata": '{"a": []}'})
    paths = {fault["path"] for fault in caught.value.faults}
    assert {"/params", "/pipeline", "/priority", "/nonsense"} <= paths
    assert any(path.startswith("/metadata/a") for path in paths)


def test_a_form_is_read_into_an_order() -> None:
    order = order_from_form(
        {"pipeline": "motion", "metadata": '{"a": 1}', "run_after": "2026-11-21T12:00:00+02:00",
         "expires_in_seconds": "60"}
    )  # fmt: skip
    assert (order.metadata, order.expires_in_seconds) == ({"a": 1}, 60)
    assert order.run_after is not None
    assert order.run_after.isoformat() == "2026-11-21T10:00:00+00:00"


def test_the_fingerprint_tells_requests_apart() -> None:
    order = Order(pipeline="motion")
    same = fingerprint("sha256:1", order, {"a": 1, "b": 2})
    assert same == fingerprint("sha256:1", Order(pipeline="motion"), {"b": 2, "a": 1})
    others = [
        fingerprint("sha256:2", order, {"a": 1, "b": 2}),
        fingerprint("sha256:1", order, {"a": 1, "b": 3}),
        fingerprint("sha256:1", Order(pipeline="detect"), {"a": 1, "b": 2}),
        fingerprint("sha256:1", Order(pipeline="motion", priority="high"), {"a": 1, "b": 2}),
        fingerprint("sha256:1", Order(pipeline="motion", metadata={"a": 1}), {"a": 1, "b": 2}),
        fingerprint("sha256:1", Order(pipeline="motion", allow_partial=True), {"a": 1, "b": 2}),
    ]
    assert len({same, *others}) == 7


def test_an_order_without_anything_new_keeps_the_fingerprint_it_had_before_the_upgrade() -> None:
    found = fingerprint("sha256:1", Order(pipeline="motion"), {"a": 1})
    assert found == hashlib.sha256(b'["sha256:1","motion",{"a":1},"normal",{}]').hexdigest()


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("clip.mp4", "clip.mp4"), ("../../etc/passwd", "passwd"), ("C:\\clips\\a.mp4", "a.mp4"),
        ("a\x00b\n.mp4", "ab.mp4"),
        ("x" * 300, "x" * 255), ("\u202egp.exe", "gp.exe"), ("größe.mp4", "größe.mp4"),
        ("/", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_a_file_name_is_made_fit_to_show(given: str | None, shown: str | None) -> None:
    assert clean_name(given) == shown


def test_the_predicted_cost_grows_with_a_video_and_not_with_a_still() -> None:
    assert predicted_cost("short", 10**9) == predicted_cost("short", None)
    assert predicted_cost("long", 10**9) > predicted_cost("long", 10**6) > 0


@pytest.mark.parametrize(
    "change",
    [
        {"store": "ftp://x"}, {"store": "file://relative"}, {"store_secret": "short"}, {"public_url": "example.org"},
        {"cors_origins": ["*"]}, {"web_threads": 1}, {"proxy_hops": -1}, {"database_url": "mysql://x"},
    ],
)  # fmt: skip
def test_a_wrong_setting_is_no_start_and_shows_no_secret(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        WebSettings(**{**GOOD, **change})  # type: ignore[arg-type]
    assert "x" * 32 not in str(caught.value)


def test_secrets_mask_themselves() -> None:
    assert "xxxx" not in repr(WebSettings(**GOOD))  # type: ignore[arg-type]
