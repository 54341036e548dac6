from __future__ import annotations

import json
from pathlib import Path

import pytest
from framequeue.errors import ConfigurationError
from framequeue.settings import find_connection


@pytest.fixture
def embedded(tmp_path: Path) -> Path:
    """A folder in which an embedded stack runs."""
    (tmp_path / ".local").mkdir()
    state = {"api_url": "http://127.0.0.1:8080", "api_key": "fq_local", "redis_url": "redis://x", "pids": {"web": 7}}
    (tmp_path / ".local/state.json").write_text(json.dumps(state))
    return tmp_path


def test_arguments_win_over_the_environment_and_the_environment_over_the_stack(embedded: Path) -> None:
    environ = {"FRAMEQUEUE_URL": "https://env.example", "FRAMEQUEUE_API_KEY": "fq_env"}
    given = find_connection("https://arg.example/", "fq_arg", environ=environ, folder=embedded)
    assert (given.base_url, given.api_key, given.source) == ("https://arg.example", "fq_arg", "argument")
    found = find_connection(environ=environ, folder=embedded)
    assert (found.base_url, found.api_key, found.source) == ("https://env.example", "fq_env", "environment")
    local = find_connection(environ={}, folder=embedded)
    assert (local.base_url, local.api_key) == ("http://127.0.0.1:8080", "fq_local")
    assert local.source.endswith("state.json")


def test_the_key_of_the_embedded_stack_is_never_sent_to_another_address(embedded: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_connection("https://elsewhere.example", environ={}, folder=embedded)
    assert caught.value.code == "client.no_key"


def test_the_address_of_the_embedded_stack_is_enough_to_find_its_key(embedded: Path) -> None:
    assert find_connection("http://127.0.0.1:8080/", environ={}, folder=embedded).api_key == "fq_local"


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"api_url": 7}'])
def test_a_broken_state_file_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local/state.json").write_text(text)
    with pytest.raises(ConfigurationError, match="no address") as caught:
        find_connection(environ={}, folder=tmp_path)
    assert caught.value.code == "client.no_url"
    assert "FRAMEQUEUE_URL" in (caught.value.advice or "")


@pytest.mark.parametrize("url", ["queue.example.org", "ftp://queue.example.org", "http://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_connection(url, "fq_x", environ={})
    assert caught.value.code == "client.bad_url"


def test_an_address_with_the_version_of_the_api_is_understood() -> None:
    assert find_connection("https://q.example/base/v1/", "k", environ={}).base_url == "https://q.example/base"


def test_a_connection_does_not_show_its_key() -> None:
    assert "fq_secret" not in repr(find_connection("https://q.example", "fq_secret", environ={}))
