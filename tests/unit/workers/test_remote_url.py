"""URLs are taken apart once and strictly."""

from __future__ import annotations

import pytest

from workers.remote_url import UrlRefused, parse_url


@pytest.mark.parametrize(
    ("text", "host", "port", "target", "authority"),
    [
        ("http://example.com", "example.com", 80, "/", "example.com"),
        ("HTTPS://Example.COM./a/b.mp4?x=1&y=%20#part", "example.com", 443, "/a/b.mp4?x=1&y=%20", "example.com"),
        ("https://example.com:8443/a", "example.com", 8443, "/a", "example.com:8443"),
        ("http://example.com:80/", "example.com", 80, "/", "example.com"),
        ("http://[2606:4700::0001]:81/", "2606:4700::1", 81, "/", "[2606:4700::1]:81"),
        ("http://bücher.example/ü?q=ü", "xn--bcher-kva.example", 80, "/%C3%BC?q=%C3%BC", "xn--bcher-kva.example"),
        ("http://my_bucket.s3.example/", "my_bucket.s3.example", 80, "/", "my_bucket.s3.example"),
    ],
)
def test_a_good_url_is_taken_apart(text: str, host: str, port: int, target: str, authority: str) -> None:
    url = parse_url(text)
    assert (url.host, url.port, url.target, url.authority) == (host, port, target, authority)


@pytest.mark.parametrize(
    "text",
    [
        "", "example.com", "//example.com/a", "ftp://example.com/a", "file:///etc/passwd", "gopher://x/", "data:,x",
        "javascript:alert(1)", "http:/example.com", "http://", "http:///path", "http://:80/", "http://.", "http://-/",
        "http://user@example.com/", "http://user:secret@example.com/", "http://@example.com/", "http://:@example.com/",
        "http://example.com:0/", "http://example.com:99999/", "http://example.com:-1/", "http://example.com:8o/",
        "http://exa mple.com/", "http://example.com/a b", "http://example.com\\@10.0.0.1/",
        "http://example.com/\r\nX: y",
        "http://exam\tple.com/", "http://example.com\x00/", "http://%31%32%37.0.0.1/",
        "http://exam$ple.com/",
        "http://[::1/", "http://::1/", "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[v1.x]/",
        "http://[127.0.0.1]/",
        "http://" + "a" * 64 + ".com/", "http://example.com/" + "a" * 4096, "http://a..b/",
    ],
    ids=repr,
)  # fmt: skip
def test_anything_that_parsers_might_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(UrlRefused):
        parse_url(text)
