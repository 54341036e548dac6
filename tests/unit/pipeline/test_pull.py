"""Weights by digest."""

from __future__ import annotations

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipeline.errors import ModelUnavailable
from pipeline.models.card import Input, ModelCard, Output, Weights
from pipeline.models.pull import cache_path, file_digest, pull_weights

GOOD = b"weights" * 1000
DIGEST = hashlib.sha256(GOOD).hexdigest()


def card(**weights):
    return ModelCard(
        name="mine",
        task="classify",
        runtime="onnx",
        weights=Weights(**{"file": "mine.onnx", "sha256": DIGEST} | weights),
        input=Input(width=8, height=8),
        output=Output(decoder="softmax", labels=("a", "b")),
    )


@pytest.fixture
def place(tmp_path):
    """Folders of a package, a cache and a mirror."""
    for name in ("package", "mirror"):
        (tmp_path / name).mkdir()
    return tmp_path


def pull(place, one, mirror=True, **options):
    source = str(place / "mirror") if mirror is True else mirror
    return pull_weights(one, place / "package", place / "cache", mirror=source or None, **options)


def litter(place):
    return [path.name for path in (place / "cache").rglob("*") if path.is_file()]


def test_a_file_beside_the_card_is_used_where_it_lies(place):
    (place / "package" / "mine.onnx").write_bytes(GOOD)
    assert pull(place, card()) == place / "package" / "mine.onnx"
    assert not (place / "cache").exists()


def test_a_file_beside_a_card_without_digest_is_taken_as_it_is(place):
    (place / "package" / "mine.onnx").write_bytes(b"anything")
    assert pull(place, card(sha256=None)) == place / "package" / "mine.onnx"


def test_a_wrong_file_beside_the_card_is_told_not_replaced(place):
    (place / "package" / "mine.onnx").write_bytes(b"other")
    (place / "mirror" / "mine.onnx").write_bytes(GOOD)
    with pytest.raises(ModelUnavailable, match="not the file its card names"):
        pull(place, card())


def test_a_mirror_folder_is_searched_by_file_name_in_subfolders_too(place):
    (place / "mirror" / "deep" / "er").mkdir(parents=True)
    (place / "mirror" / "deep" / "er" / "mine.onnx").write_bytes(GOOD)
    path = pull(place, card())
    assert path == cache_path(card(), place / "cache")
    assert path.read_bytes() == GOOD
    assert litter(place) == ["mine.onnx"]


def test_what_is_in_the_cache_needs_no_source(place):
    (place / "mirror" / "mine.onnx").write_bytes(GOOD)
    first = pull(place, card())
    assert pull(place, card(), mirror=False) == first


def test_a_cached_file_that_rotted_is_fetched_again(place):
    (place / "mirror" / "mine.onnx").write_bytes(GOOD)
    path = pull(place, card())
    path.write_bytes(GOOD[:-1] + b"!")
    assert pull(place, card()).read_bytes() == GOOD


def test_of_several_files_of_the_name_the_one_with_the_digest_is_taken(place):
    for name, content in (("a", b"wrong"), ("b", GOOD)):
        (place / "mirror" / name).mkdir()
        (place / "mirror" / name / "mine.onnx").write_bytes(content)
    assert pull(place, card()).read_bytes() == GOOD


@pytest.mark.parametrize(
    ("content", "weights", "fault"), [(b"wrong", {}, "sha256 is"), (GOOD, {"bytes": 10}, "larger than the 10 bytes")]
)
def test_a_file_that_is_not_the_cards_is_refused_and_leaves_nothing(place, content, weights, fault):
    (place / "mirror" / "mine.onnx").write_bytes(content)
    with pytest.raises(ModelUnavailable, match=fault) as caught:
        pull(place, card(**weights))
    assert litter(place) == []
    assert caught.value.code == "model.unavailable"


def test_weights_that_cannot_be_had_come_with_advice(place):
    with pytest.raises(ModelUnavailable, match="No such file") as caught:
        pull(place, card())
    assert "FQ_MODEL_MIRROR" in caught.value.advice
    with pytest.raises(ModelUnavailable, match="no source"):
        pull(place, card(), mirror=False)
    with pytest.raises(ModelUnavailable, match="gives no sha256"):
        pull(place, card(sha256=None))


def test_a_cache_that_cannot_be_written_is_told(place):
    (place / "mirror" / "mine.onnx").write_bytes(GOOD)
    (place / "cache").write_text("a file where the folder should be")
    with pytest.raises(ModelUnavailable, match="cache"):
        pull(place, card())


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture
def address(place):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(place / "mirror")))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("under", ["mine/mine.onnx", "mine.onnx"])
def test_a_mirror_may_be_an_address(place, address, under):
    (place / "mirror" / "mine").mkdir()
    (place / "mirror" / under).write_bytes(GOOD)
    assert pull(place, card(), mirror=address + "/").read_bytes() == GOOD


def test_an_address_without_the_file_is_told(place, address):
    with pytest.raises(ModelUnavailable, match="404"):
        pull(place, card(), mirror=address)
    assert litter(place) == []


def test_an_address_that_says_nothing_is_given_up(place):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(ModelUnavailable, match="timed out"):
            pull(place, card(), mirror=f"http://127.0.0.1:{port}", timeout_seconds=0.2)


def test_many_at_once_leave_one_whole_file(place):
    (place / "mirror" / "mine.onnx").write_bytes(GOOD)
    threads = [threading.Thread(target=pull, args=(place, card())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert litter(place) == ["mine.onnx"]
    assert file_digest(cache_path(card(), place / "cache")) == DIGEST
