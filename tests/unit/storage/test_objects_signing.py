"""Signed URLs of the local store."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.objects.signing import BadSignature, PartGrant, ReadGrant, SignatureExpired, SignedUrls

SECRET = "a secret of at least thirty-two bytes"
KEY = "results/0199c0de-0000-7000-8000-000000000001/1/a/b.jsonl.gz"


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def urls(clock: Clock | None = None, public_url: str = "https://host/base/") -> SignedUrls:
    return SignedUrls(SECRET, public_url, clock=clock or Clock())


def taken_apart(url: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(url)
    return unquote(parts.path).removeprefix("/base/objects/"), dict(parse_qsl(parts.query))


def test_a_url_lies_below_the_public_one_and_grants_what_was_signed() -> None:
    url = urls().sign_get(KEY, expires_seconds=60, filename="clip.mp4")
    assert url.startswith(f"https://host/base/objects/{KEY}?")
    path, query = taken_apart(url)
    assert urls().verify("GET", path, query) == ReadGrant(KEY, "clip.mp4")
    assert urls().verify("HEAD", path, query) == ReadGrant(KEY, "clip.mp4")


def test_a_part_url_grants_one_part_of_one_size() -> None:
    path, query = taken_apart(urls().sign_part(KEY, "abc", 7, size_bytes=123, expires_seconds=60))
    assert urls().verify("PUT", path, query) == PartGrant(KEY, "abc", 7, 123)


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS", "get"])
def test_a_read_url_answers_no_other_method(method: str) -> None:
    path, query = taken_apart(urls().sign_get(KEY, expires_seconds=60))
    with pytest.raises(BadSignature):
        urls().verify(method, path, query)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_a_part_url_answers_no_other_method(method: str) -> None:
    path, query = taken_apart(urls().sign_part(KEY, "abc", 7, size_bytes=123, expires_seconds=60))
    with pytest.raises(BadSignature):
        urls().verify(method, path, query)


@pytest.mark.parametrize(
    "change",
    [
        {"upload": "abd"},
        {"part": "8"},
        {"size": "124"},
        {"size": "-123"},
        {"size": "9" * 5000},
        {"size": "١٢٣"},
        {"part": ""},
        {"expires": "99999999999"},
        {"expires": "soon"},
        {"signature": ""},
        {"signature": "0" * 64},
        {"signature": "\udcff"},
    ],
    ids=str,
)
def test_a_part_url_with_any_field_changed_is_refused(change: dict[str, str]) -> None:
    path, query = taken_apart(urls().sign_part(KEY, "abc", 7, size_bytes=123, expires_seconds=60))
    with pytest.raises(BadSignature):
        urls().verify("PUT", path, query | change)


@pytest.mark.parametrize("field", ["upload", "part", "size", "expires", "signature"])
def test_a_part_url_without_a_field_is_refused(field: str) -> None:
    path, query = taken_apart(urls().sign_part(KEY, "abc", 7, size_bytes=123, expires_seconds=60))
    del query[field]
    with pytest.raises(BadSignature):
        urls().verify("PUT", path, query)


@pytest.mark.parametrize("path", ["", KEY + "x", KEY.upper(), "../" + KEY, "objects/" + KEY])
def test_a_url_is_good_for_its_own_key_alone(path: str) -> None:
    _, query = taken_apart(urls().sign_get(KEY, expires_seconds=60))
    with pytest.raises(BadSignature):
        urls().verify("GET", path, query)


def test_a_file_name_cannot_be_put_on_a_url_signed_without_one() -> None:
    path, query = taken_apart(urls().sign_get(KEY, expires_seconds=60))
    with pytest.raises(BadSignature):
        urls().verify("GET", path, query | {"filename": "evil.exe"})


def test_a_url_ends_at_its_second() -> None:
    clock = Clock()
    path, query = taken_apart(urls(clock).sign_get(KEY, expires_seconds=60))
    clock.now += 59
    urls(clock).verify("GET", path, query)
    clock.now += 1
    with pytest.raises(SignatureExpired):
        urls(clock).verify("GET", path, query)


def test_a_forged_expired_url_is_called_forged() -> None:
    clock = Clock()
    path, query = taken_apart(urls(clock).sign_get(KEY, expires_seconds=60))
    clock.now += 3600
    with pytest.raises(BadSignature) as caught:
        urls(clock).verify("GET", path, query | {"signature": "0" * 64})
    assert caught.value.code == "signature.invalid"


def test_another_secret_signs_otherwise() -> None:
    path, query = taken_apart(SignedUrls("b" * 32, "https://host/base").sign_get(KEY, expires_seconds=9**9))
    with pytest.raises(BadSignature):
        urls().verify("GET", path, query)


@pytest.mark.parametrize("secret", ["", "short", "x" * 31])
def test_a_guessable_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="32"):
        SignedUrls(secret, "https://host")


@given(st.text(min_size=1, max_size=50).filter(lambda s: s.isprintable()))
def test_any_file_name_survives_the_way_through_the_url(filename: str) -> None:
    path, query = taken_apart(urls().sign_get(KEY, expires_seconds=60, filename=filename))
    assert urls().verify("GET", path, query) == ReadGrant(KEY, filename)
