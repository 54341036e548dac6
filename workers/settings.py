"""Settings of workers and dispatcher, read once at start; every fault is told at once, secrets mask themselves."""

from __future__ import annotations

import re
import socket
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pipeline.device import DECODE_DEVICE
from storage.objects.settings import ObjectStoreSettings
from storage.settings import DatabaseSettings
from workers.dispatcher.ingest_settings import IngestSettings
from workers.dispatcher.retention_settings import RetentionSettings
from workers.dispatcher.webhook_settings import WebhookSettings

Words = Annotated[tuple[str, ...], NoDecode]
Runtimes = Annotated[dict[str, float], NoDecode]

LANE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
#: as in ``pipeline.pipelines.catalog``, which loads numpy
BUILT_IN_PIPELINES = ("motion", "detect", "classify", "deepfake", "describe", "pose", "nutrition", "steps")
MIB = 1024**2
#: results that a stale worker may still put are swept five hours after a job's end, see ``storage.ownership``
LONGEST_RUNTIME_SECONDS = 4 * 3600.0


class BrokerSettings(BaseSettings):
    """What every process with a bell needs."""

    model_config = SettingsConfigDict(
        env_prefix="FQ_", frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"), description="Redis: doorbells and hints; losing it loses nothing."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is logged.")


class MachineSettings(BrokerSettings, DatabaseSettings, ObjectStoreSettings):
    """What workers and dispatcher share: database, object store, broker, log, where metrics are served."""

    model_config = SettingsConfigDict(
        env_prefix="FQ_", frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    metrics_host: str = Field("127.0.0.1", description="Address that worker and dispatcher metrics are served on.")


class WorkerSettings(MachineSettings):
    """Environment variables ``FQ_*`` of a worker."""

    lanes: Words = Field(("cpu",), description="Lanes this worker serves, separated by commas.")
    size_classes: Words = Field(("short", "long"), description="Classes it serves: short (stills), long (videos).")
    pipelines: Words = Field(
        BUILT_IN_PIPELINES, description="Pipelines it serves: built-in names, or module:Class of your own."
    )
    concurrency: int = Field(1, ge=1, le=64, description="Worker processes; one per GPU, else up to the cores.")
    batch_size: int = Field(8, ge=1, le=1024, description="Frames given to a model at once.")
    claim_size: int = Field(8, ge=1, le=1000, description="Most like segments (stills) taken with one claim.")
    shift_seconds: float = Field(2.0, gt=0, le=60, description="How long one doorbell keeps a worker claiming.")
    segment_seconds: float = Field(30.0, gt=0, description="Work per segment into which long videos are cut.")
    max_runtimes: Runtimes = Field(
        {},
        description="Longest seconds a claim of a pipeline may run, where it is not the pipeline's own: "
        "motion=600,detect=1200.",
    )
    stall_seconds: float = Field(
        120.0, gt=0, description="Longest silence of running work before it is killed as hung."
    )
    load_seconds: float = Field(900.0, gt=0, description="Longest a model may take to be pulled and loaded.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:<n>.")
    decode_device: str = Field(
        "cpu",
        pattern=DECODE_DEVICE,
        description="cpu, or cuda or cuda:<n>: a GPU that decodes where a trial finds it exact and cheaper.",
    )
    precision: Literal["fp32", "fp16", "bf16"] = Field("fp32", description="Arithmetic of models that allow a choice.")
    model_dir: Path | None = Field(None, description="Folder of your own model packages, beside the built-in ones.")
    model_cache: Path | None = Field(
        None, description="Where pulled weights are kept; ~/.cache/framequeue/models unless set."
    )
    model_bytes: int = Field(
        1024 * MIB, ge=0, description="Weights kept loaded by each process; the least recently used go first."
    )
    model_check_bytes: int = Field(
        2048 * MIB, ge=512 * MIB, description="Memory that checking an added model may take, beside thrice its weights."
    )
    model_mirror: str | None = Field(None, description="Folder or URL that weights are taken from first.")
    scratch_dir: Path = Field(
        Path(tempfile.gettempdir()) / "framequeue", description="Local disk for inputs; the worker's own folders."
    )
    scratch_bytes: int = Field(8 * 1024**3, ge=0, description="Inputs kept on local disk for later segments, in bytes.")
    parts_above_bytes: int = Field(
        64 * 1024**2, ge=0, description="A segment of a video larger than this fetches only the bytes it reads."
    )
    max_duration_seconds: float = Field(6 * 3600.0, gt=0, description="Longest video that is taken.")
    max_bytes: int = Field(16 * 1024**3, gt=0, description="Largest input that is taken, in bytes.")
    max_pixels: int = Field(50_000_000, gt=0, description="Largest picture or video frame, in pixels.")
    cage_memory_bytes: int = Field(1536 * MIB, ge=256 * MIB, description="Memory limit of the decoding process.")
    cage_answer_seconds: float = Field(8.0, gt=0, description="Longest silence of the decoding process.")
    worker_metrics_port: int = Field(0, ge=0, le=65535, description="Port of worker metrics; 0: none.")
    idle_restart_seconds: float = Field(
        30.0, gt=0, description="Idle this long while messages wait: the worker connects to Redis anew."
    )

    @field_validator("lanes", "size_classes", "pipelines", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value

    @field_validator("max_runtimes", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [word.partition("=") for word in value.split(",") if word.strip()]
        if not all(name.strip() and seconds.strip() for name, _, seconds in pairs):
            raise ValueError("pipeline=seconds, separated by commas")
        return {name.strip(): seconds.strip() for name, _, seconds in pairs}

    @field_validator("max_runtimes")
    @classmethod
    def _runtimes_in_bounds(cls, value: dict[str, float]) -> dict[str, float]:
        if not all(0 < seconds <= LONGEST_RUNTIME_SECONDS for seconds in value.values()):
            raise ValueError(f"each more than 0 and at most {LONGEST_RUNTIME_SECONDS:g} seconds")
        return value

    @field_validator("lanes", "size_classes")
    @classmethod
    def _names_a_queue(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [word for word in value if not LANE_NAME.fullmatch(word)]
        if wrong or not value:
            raise ValueError("lower-case words of letters, digits, - and _, separated by commas")
        return value

    @field_validator("size_classes")
    @classmethod
    def _class_has_no_dash(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any("-" in word for word in value):
            raise ValueError("a class has no dash in it: queue names are <lane>-<class>")
        return value

    @property
    def host(self) -> str:
        """This machine's name."""
        return socket.gethostname()


class DispatcherSettings(MachineSettings, IngestSettings, RetentionSettings, WebhookSettings):
    """Environment variables ``FQ_*`` of the dispatcher."""

    dispatcher_metrics_port: int = Field(0, ge=0, le=65535, description="Port of its metrics; 0: none.")
    alive_file: Path = Field(
        Path(tempfile.gettempdir()) / "framequeue-dispatcher.alive",
        description="Touched by the dispatcher while every duty runs; its health check looks at the age.",
    )
    ring_cap: int = Field(500, ge=1, le=10_000, description="Most doorbells rung in one pass.")


Settings = TypeVar("Settings", bound=BaseSettings)


def settings_or_exit(kind: type[Settings]) -> Settings:
    """Read settings; on any fault name them all on stderr, without their values, and end the process with 2."""
    try:
        return kind()
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False, include_context=False):
            name = "_".join(str(part) for part in fault["loc"]).upper()
            message = fault["msg"].removeprefix("Value error, ")
            sys.stderr.write(f"{'FQ_' + name + ': ' if name else ''}{message}\n")
        raise SystemExit(2) from None
