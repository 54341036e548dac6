"""Settings: every fault at once, secrets masked, lists by comma."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipeline.pipelines.catalog import BUILT_IN
from workers.settings import BUILT_IN_PIPELINES, DispatcherSettings, WorkerSettings, settings_or_exit

GOOD = {
    "FQ_DATABASE_URL": "postgresql://u:hidden-pw@h/d",
    "FQ_REDIS_URL": "redis://:hidden-pw@h/0",
    "FQ_STORE": "file:///var/objects",
    "FQ_STORE_SECRET": "a secret of at least thirty-two bytes",
}


@pytest.fixture
def good(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_lists_are_separated_by_commas(good: pytest.MonkeyPatch) -> None:
    good.setenv("FQ_LANES", "gpu, cpu")
    good.setenv("FQ_PIPELINES", "motion,my_module:Mine")
    settings = WorkerSettings()  # type: ignore[call-arg]
    assert settings.lanes == ("gpu", "cpu")
    assert settings.pipelines == ("motion", "my_module:Mine")


def test_runtimes_are_given_by_pipeline(good: pytest.MonkeyPatch) -> None:
    good.setenv("FQ_MAX_RUNTIMES", "motion=600, detect=1200.5")
    assert WorkerSettings().max_runtimes == {"motion": 600.0, "detect": 1200.5}  # type: ignore[call-arg]
    good.setenv("FQ_MAX_RUNTIMES", "")
    assert WorkerSettings().max_runtimes == {}  # type: ignore[call-arg]


@pytest.mark.parametrize("wrong", ["motion", "motion=", "=5", "motion=soon", "motion=0", "motion=14401", "600"])
def test_a_runtime_that_cannot_be_kept_is_refused(
    good: pytest.MonkeyPatch, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good.setenv("FQ_MAX_RUNTIMES", wrong)
    with pytest.raises(SystemExit):
        settings_or_exit(WorkerSettings)
    assert "FQ_MAX_RUNTIMES" in capsys.readouterr().err


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:0", "cuda:11"])
def test_what_decodes_is_the_cpu_or_a_gpu_by_number(good: pytest.MonkeyPatch, device: str) -> None:
    assert WorkerSettings().decode_device == "cpu"  # type: ignore[call-arg]
    good.setenv("FQ_DECODE_DEVICE", device)
    assert WorkerSettings().decode_device == device  # type: ignore[call-arg]


@pytest.mark.parametrize("device", ["gpu", "auto", "cuda:", "cuda:one", "cuda\n", "cuda:1,2", "CUDA"])
def test_a_decoder_that_is_none_is_refused(
    good: pytest.MonkeyPatch, device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good.setenv("FQ_DECODE_DEVICE", device)
    with pytest.raises(SystemExit):
        settings_or_exit(WorkerSettings)
    assert "FQ_DECODE_DEVICE" in capsys.readouterr().err


def test_an_empty_value_is_no_value(good: pytest.MonkeyPatch) -> None:
    good.setenv("FQ_MODEL_DIR", "")
    good.setenv("FQ_BATCH_SIZE", "")
    settings = WorkerSettings()  # type: ignore[call-arg]
    assert (settings.model_dir, settings.batch_size) == (None, 8)


@pytest.mark.parametrize("kind", [WorkerSettings, DispatcherSettings])
def test_secrets_mask_themselves(good: pytest.MonkeyPatch, kind: type[WorkerSettings]) -> None:
    text = repr(kind())  # type: ignore[call-arg]
    assert "hidden-pw" not in text
    assert "thirty-two" not in text


def test_every_fault_is_named_at_once_without_its_value(
    good: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good.setenv("FQ_BATCH_SIZE", "none-of-it")
    good.setenv("FQ_LANES", "GPU lane!")
    good.setenv("FQ_DATABASE_URL", "mysql://u:hidden-pw@h/d")
    good.setenv("FQ_PRECISION", "fp8")
    with pytest.raises(SystemExit) as caught:
        settings_or_exit(WorkerSettings)
    assert caught.value.code == 2
    told = capsys.readouterr().err
    for name in ("FQ_BATCH_SIZE", "FQ_LANES", "FQ_DATABASE_URL", "FQ_PRECISION"):
        assert name in told
    for value in ("none-of-it", "GPU lane!", "hidden-pw", "fp8'"):
        assert value not in told


def test_a_class_with_a_dash_is_refused(good: pytest.MonkeyPatch) -> None:
    good.setenv("FQ_SIZE_CLASSES", "very-long")
    with pytest.raises(ValidationError, match="no dash"):
        WorkerSettings()  # type: ignore[call-arg]


def test_workers_serve_every_built_in_pipeline_unless_told_otherwise() -> None:
    assert tuple(BUILT_IN) == BUILT_IN_PIPELINES
