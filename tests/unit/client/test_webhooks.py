"""Verifying a delivery, as a receiver does."""

from __future__ import annotations

import pytest
from framequeue import WebhookInvalidError, verify

# the example of the Standard Webhooks specification's reference libraries
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
SENT_AT = 1614265330
HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(SENT_AT),
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


def test_the_example_of_the_specification_is_accepted() -> None:
    assert verify(BODY, HEADERS, SECRET, now=SENT_AT + 10) == "msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_one_of_several_signatures_is_enough() -> None:
    both = "v1,bm90IHRoaXMgb25l v1a,x " + HEADERS["webhook-signature"]
    assert verify(BODY, HEADERS | {"webhook-signature": both}, SECRET, now=SENT_AT)


@pytest.mark.parametrize(
    ("body", "changes", "now"),
    [
        (BODY + b" ", {}, SENT_AT),
        (BODY, {"webhook-id": "msg_other"}, SENT_AT),
        (BODY, {"webhook-timestamp": str(SENT_AT + 1)}, SENT_AT),
        (BODY, {}, SENT_AT + 301),
        (BODY, {}, SENT_AT - 301),
        (BODY, {"webhook-signature": ""}, SENT_AT),
        (BODY, {"webhook-timestamp": "soon"}, SENT_AT),
        (BODY, {"webhook-signature": HEADERS["webhook-signature"].replace("v1,", "v2,")}, SENT_AT),
    ],
)
def test_anything_else_is_refused(body: bytes, changes: dict[str, str], now: int) -> None:
    with pytest.raises(WebhookInvalidError):
        verify(body, HEADERS | changes, SECRET, now=now)
