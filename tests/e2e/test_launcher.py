"""The launcher as its user meets it: started twice, killed, told to stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from bench.embedded import EmbeddedStack, running_stack
from deploy.local.demo import SAMPLE
from deploy.local.leftovers import MARK
from tests.e2e.embedded import finished, submitted


@pytest.fixture(scope="module")
def own(stack_settings: dict[str, str]) -> Iterator[EmbeddedStack]:
    """A stack that these tests may stop and start."""
    with running_stack({**stack_settings, "FQ_PIPELINES": "motion", "FQ_CONCURRENCY": "1"}) as started:
        yield started


def processes_of(run_id: str) -> list[psutil.Process]:
    """Every process with the mark of a start, whatever its parent."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == run_id and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_a_second_up_over_the_same_folder_says_that_one_is_running(own: EmbeddedStack) -> None:
    second = own.command("up", check=False)
    assert second.returncode == 1
    assert "already runs" in second.stderr
    assert own.api_url in second.stderr
    assert own.command("status").returncode == 0


def test_after_kill_9_of_the_launcher_the_next_up_cleans_and_keeps_ports_key_and_jobs(own: EmbeddedStack) -> None:
    before = own.state
    with own.client() as client:
        job_id = submitted(client, SAMPLE)
        finished(client, job_id)
    os.kill(before.launcher_pid, signal.SIGKILL)
    own.close()
    after = own.up()
    assert after.run_id != before.run_id
    assert processes_of(before.run_id) == []
    assert (after.api_url, after.api_key, after.database_url) == (before.api_url, before.api_key, before.database_url)
    with own.client() as client:
        assert finished(client, job_id)["state"] == "succeeded"
        assert finished(client, submitted(client, SAMPLE))["state"] == "succeeded"


def test_after_kill_9_of_the_launcher_down_ends_what_is_left(own: EmbeddedStack) -> None:
    state = own.state
    os.kill(state.launcher_pid, signal.SIGKILL)
    own.close()
    assert own.command("status", check=False).returncode == 3
    own.command("down")
    assert processes_of(state.run_id) == []
    assert own.home.state() is None
    own.up()


def test_down_ends_every_process_and_up_brings_the_same_stack_back(own: EmbeddedStack) -> None:
    before = own.state
    assert "stopped" in own.command("down").stdout
    assert processes_of(before.run_id) == []
    assert not (own.home.root / "state.json").exists()
    assert own.command("status", check=False).returncode == 3
    after = own.up()
    assert after.api_key == before.api_key


def test_restart_gives_a_part_a_fresh_process(own: EmbeddedStack) -> None:
    before = own.pid("web")
    own.command("restart", "web")
    assert own.pid("web") != before
    assert httpx2.get(f"{own.api_url}/health", trust_env=False).status_code == 200


def test_only_loopback_is_listened_on(own: EmbeddedStack) -> None:
    addresses = {
        connection.laddr.ip
        for process in [*processes_of(own.state.run_id), psutil.Process(own.pid("postgres"))]
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses == {"127.0.0.1"}


def test_no_password_is_among_the_arguments_of_any_process(own: EmbeddedStack) -> None:
    secrets = own.home.secrets()
    words = [secrets.postgres_password, secrets.redis_password, secrets.store_secret, secrets.flower_password]
    lines = [" ".join(process.cmdline()) for process in processes_of(own.state.run_id)]
    assert len(lines) >= 6  # database, Redis, web, worker, dispatcher, Flower
    for line in lines:
        assert not any(word in line for word in words), line


def test_the_demo_uses_the_stack_that_is_up_and_leaves_it_up(own: EmbeddedStack) -> None:
    told = own.command("demo").stdout.strip().splitlines()
    assert told[-1].startswith("demo ok job=")
    assert "state=succeeded frames=50 seconds=" in told[-1]
    assert own.command("status").returncode == 0


def test_the_demo_starts_a_stack_when_none_is_up_and_stops_it_again(own: EmbeddedStack) -> None:
    own.command("down")
    try:
        told = own.command("demo").stdout.strip().splitlines()
        assert own.command("status", check=False).returncode == 3
    finally:
        own.up()
    assert told[-1].startswith("demo ok job=")
    assert float(told[-1].rpartition("=")[2]) < 30


def test_a_demo_that_fails_ends_with_1_and_the_logs_that_matter(own: EmbeddedStack, tmp_path: Path) -> None:
    own.command("stop", "postgres")
    failed = own.command("demo", check=False)
    own.command("start", "postgres")
    assert failed.returncode == 1
    assert "demo FAILED: POST /v1/jobs answered 503" in failed.stdout
    assert "web.log" in failed.stdout
