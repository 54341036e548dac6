"""What the client sends for a version of a model, and how it waits for its check."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from framequeue import ConfigurationError, InvalidError
from framequeue.cli.main import run

from tests.unit.client.fake_api import FakeApi, answer
from tests.unit.client.forms import form_of

CARD = 'name = "helmets"\n[weights]\nfile = "helmets.onnx"\n[output]\nlabels_file = "labels.txt"\n'


def version(state: str = "added", **members: Any) -> dict[str, Any]:
    return {
        "name": "helmets",
        "version": "2",
        "digest": "d" * 64,
        "task": "detect",
        "active": False,
        "state": state,
    } | members


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "model.toml").write_text(CARD)
    (tmp_path / "helmets.onnx").write_bytes(b"weights")
    return tmp_path


def test_everything_beside_the_card_goes_before_the_weights(package: Path) -> None:
    (package / "labels.txt").write_text("helmet\nhead\n")
    (package / "evaluation.json").write_text('{"map": 0.5}')
    (package / "other.onnx").write_bytes(b"better weights")
    api = FakeApi(answer(202, version()), answer(202, version()))
    with api.client() as client:
        assert client.models.add(package).state == "added"
        client.models.add(package / "model.toml", package / "other.onnx")
    fields = form_of(api)
    assert [name for name, _ in fields][-1] == "file"
    assert dict(fields) == {
        "card": CARD.encode(),
        "sha256": hashlib.sha256(b"weights").hexdigest().encode(),
        "labels": b"helmet\nhead\n",
        "evaluation": b'{"map": 0.5}',
        "file": b"weights",
    }
    assert dict(form_of(api, 1))["file"] == b"better weights"
    assert (api.requests[0].method, api.requests[0].url.path) == ("POST", "/v1/models")


def test_what_cannot_be_read_here_is_told_before_anything_is_sent(package: Path) -> None:
    (package / "helmets.onnx").unlink()
    api = FakeApi()
    with api.client() as client, pytest.raises(ConfigurationError, match=r"helmets\.onnx"):
        client.models.add(package)
    (package / "model.toml").write_text("name =")  # its faults are the server's to tell, but the weights are not named
    with api.client() as client, pytest.raises(ConfigurationError, match="names no weights file"):
        client.models.add(package)
    assert api.requests == []


def test_the_faults_of_a_card_come_back_one_by_one(package: Path) -> None:
    faults = [{"path": "/card", "message": "task: wrong"}, {"path": "/card", "message": "input: missing"}]
    api = FakeApi(answer(422, {"code": "model.card_invalid", "title": "The card has faults", "faults": faults}))
    with api.client() as client, pytest.raises(InvalidError, match="task: wrong; /card: input: missing") as caught:
        client.models.add(package)
    assert [fault["message"] for fault in caught.value.faults] == ["task: wrong", "input: missing"]


def test_waiting_ends_with_the_check_or_with_the_time() -> None:
    document = {"name": "helmets", "active": None, "versions": [version(version="3"), version()]}
    ended = {**document, "versions": [version("refused", error={"code": "model.failed", "message": "no graph"})]}
    api = FakeApi(answer(200, document), answer(200, document), answer(200, ended), answer(200, document))
    with api.client() as client:
        assert client.models.wait("helmets", "2").error == {"code": "model.failed", "message": "no graph"}
        assert client.models.wait("helmets", "2", timeout=0.0).state == "added"
        assert len(api.requests) == 4


def test_activating_needs_a_check_that_is_waited_for(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "add", str(package), "--no-wait", "--activate"]) == 2
    assert "only a checked version can be activated" in capsys.readouterr().err


def test_a_refusal_is_told_with_what_to_do_about_it(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = {"code": "device.out_of_memory", "message": "no room", "advice": "Allow more."}
    document = {"name": "helmets", "active": None, "versions": [version("refused", error=error)]}
    api = FakeApi(answer(202, version()), answer(200, document))
    monkeypatch.setattr("framequeue.client.Client", lambda *_, **__: api.client())
    assert run(["models", "add", str(package)]) == 1
    assert "device.out_of_memory: no room - Allow more." in capsys.readouterr().err
