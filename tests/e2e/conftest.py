"""The stack that the tests of this folder talk to; started once, since that takes seconds."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import httpx2
import pytest

from bench.embedded import EmbeddedStack, running_stack
from tests.fakes.http_source import Source, http_source
from tests.fakes.webhook_receiver import Receiver, webhook_receiver
from workers.settings import BUILT_IN_PIPELINES


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the ends of the logs of the stacks that a failed test used; their folders are gone afterwards."""
    report = yield
    if report.failed:
        for used in getattr(item, "funcargs", {}).values():
            if isinstance(used, EmbeddedStack):
                report.sections += [(f"log of {name}", used.log_tail(name, 25)) for name in used.log_names()]
    return report


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks that the stack may send to; tests take a path of their own."""
    with webhook_receiver() as running:
        yield running


@pytest.fixture(scope="session")
def source() -> Iterator[Source]:
    """Where the stack may fetch remote inputs from."""
    with http_source() as running:
        yield running


@pytest.fixture(scope="session")
def stack_settings(
    shared: Path, tmp_path_factory: pytest.TempPathFactory, receiver: Receiver, source: Source
) -> dict[str, str]:
    """Settings of test stacks: weights come from the test data, and go to a cache of this session."""
    return {
        "FQ_PIPELINES": ",".join(BUILT_IN_PIPELINES),
        "FQ_MODEL_MIRROR": str(shared / "models"),
        # short segments, so that a clip of minutes already takes many
        "FQ_SEGMENT_SECONDS": "4",
        "FQ_MODEL_CACHE": str(tmp_path_factory.mktemp("models")),
        "FQ_WEBHOOK_PRIVATE_HOSTS": receiver.address,
        "FQ_INGEST_PRIVATE_HOSTS": f"127.0.0.1:{source.port}",
        # the first retry after a tenth of a second
        "FQ_WEBHOOK_RETRY_SCALE": "0.02",
    }


@pytest.fixture(scope="session")
def stack(stack_settings: dict[str, str]) -> Iterator[EmbeddedStack]:
    """A running embedded stack; whoever hurts it leaves it whole."""
    with running_stack(stack_settings) as started:
        yield started


@pytest.fixture
def client(stack: EmbeddedStack) -> Iterator[httpx2.Client]:
    """An HTTP client with the key of the stack."""
    with stack.client() as opened:
        yield opened
