"""``demo``: the bundled clip through the public HTTP API, and what came of it, in words."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from deploy.local.child import Child, Command, tail
from deploy.local.home import REPOSITORY, Home, State

SAMPLE = Path(__file__).with_name("sample.mp4")
START_SECONDS = 180.0
JOB_SECONDS = 180.0


class DemoFailed(Exception):
    """The demo did not reach its end; the message tells why."""


def run_demo(home: Home) -> int:
    """Send the sample and print the result.

    Returns 0 and ends with a line ``demo ok ...``; or 1 after the ends of the logs that matter.
    """
    begun = time.monotonic()
    try:
        with running_stack(home) as state:
            job = send_and_wait(state)
            if job["state"] != "succeeded":
                raise DemoFailed(f"the job ended {job['state']}: {json.dumps(job.get('error'))}")
            for line in story(job):
                print(line)
            print(f"\nThe same by hand:\n  {by_hand(state, job['id'])}\n")
    except (DemoFailed, httpx2.HTTPError) as error:
        print(f"\ndemo FAILED: {error or type(error).__name__}")
        for line in log_tails(home):
            print(line)
        return 1
    seconds = time.monotonic() - begun
    print(f"demo ok job={job['id']} state={job['state']} frames={job['frames']} seconds={seconds:.1f}", flush=True)
    return 0


@contextmanager
def running_stack(home: Home) -> Iterator[State]:
    """The stack that is up, else one of our own that ends with the block. Raises: DemoFailed."""
    state = home.running()
    if state is not None and state.status == "up":
        print(f"using the stack that is up at {state.api_url}")
        yield state
        return
    print("starting the embedded stack (`make up` keeps one running)", flush=True)
    log = home.logs / "up.log"
    home.root.mkdir(parents=True, exist_ok=True)
    home.logs.mkdir(mode=0o700, exist_ok=True)
    log.unlink(missing_ok=True)
    argv = [sys.executable, "-m", "deploy.local", "up"]
    launcher = Child(Command(name="up", argv=argv, env=os.environ, log_path=log, cwd=REPOSITORY))
    try:
        yield wait_until_up(home, launcher)
    finally:
        launcher.stop(90.0)


def wait_until_up(home: Home, launcher: Child) -> State:
    """Return the state once every part is ready, telling its lines meanwhile. Raises: DemoFailed."""
    deadline = time.monotonic() + START_SECONDS
    told = 0
    while True:
        lines = [line for line in tail(launcher.command.log_path, 100).splitlines() if line.startswith("  ok  ")]
        for line in lines[told:]:
            print(line, flush=True)
        told = len(lines)
        state = home.running()
        if state is not None and state.status == "up" and state.launcher == launcher.identity:
            return state
        if launcher.ended() is not None:
            raise DemoFailed(f"the stack did not come up:\n{launcher.log_tail(30)}")
        if time.monotonic() > deadline:
            raise DemoFailed(f"the stack was not up after {START_SECONDS:.0f} s:\n{launcher.log_tail(30)}")
        time.sleep(0.1)


def send_and_wait(state: State) -> Mapping[str, Any]:
    """Submit the sample and follow its job to the end. Raises: DemoFailed."""
    headers = {"Authorization": f"Bearer {state.api_key}"}
    with httpx2.Client(base_url=state.api_url, headers=headers, timeout=60.0, trust_env=False) as client:
        print(f"\nPOST {state.api_url}/v1/jobs  file={SAMPLE.name} ({SAMPLE.stat().st_size} bytes) pipeline=motion")
        with SAMPLE.open("rb") as file:
            answer = client.post(
                "/v1/jobs", data={"pipeline": "motion"}, files={"file": (SAMPLE.name, file, "video/mp4")}
            )
        if answer.status_code != 202:
            raise DemoFailed(f"POST /v1/jobs answered {answer.status_code}: {answer.text[:500]}")
        where = answer.headers["Location"]
        print(f"202 Accepted, Location: {where}")
        deadline = time.monotonic() + JOB_SECONDS
        while True:
            print(f"GET {where}?wait=20", flush=True)
            answer = client.get(where, params={"wait": 20})
            answer.raise_for_status()
            job: dict[str, Any] = answer.json()
            if job["terminal"]:
                return job
            if time.monotonic() > deadline:
                raise DemoFailed(f"the job was still {job['state']} after {JOB_SECONDS:.0f} s")


def story(job: Mapping[str, Any]) -> list[str]:
    """The job document in words."""
    media, found = job["media"] or {}, job["summary"] or {}
    size = f"{media.get('width', '?')}x{media.get('height', '?')}"
    moving = found["moving"]
    facts = {
        "input": f"{job['input']['filename']}, {size}, {found['duration_seconds']:.1f} s",
        "frames": f"{job['frames']} looked at, in {job['segments']['total']} segment(s)",
        "moving": f"{moving['seconds_with_motion']:.1f} s, at most {moving['max_boxes']} things at once",
        "activity": sparkline([point["activity"] for point in found["activity_curve"]["points"]]),
        "scene cuts": ", ".join(f"{at:.1f} s" for at in found["scene_cuts"]) or "none",
        "still": stretches(found["still"]),
        "black": stretches(found["black"]),
        "blurred": stretches(found["blurred"]),
        "time spent": ", ".join(f"{name} {seconds:.2f} s" for name, seconds in job["timings"].items()),
    }
    return ["", f"Job {job['id']}: {job['state']}", *(f"  {name:<12}{text}" for name, text in facts.items())]


def sparkline(values: Sequence[float], width: int = 50) -> str:
    """A curve in one line of text; the highest value is the highest bar."""
    bars = "▁▂▃▄▅▆▇█"
    if not values:
        return ""
    count = min(width, len(values))
    peaks = [max(values[i * len(values) // count : (i + 1) * len(values) // count]) for i in range(count)]
    top = max(peaks) or 1.0
    return "".join(bars[round(value / top * (len(bars) - 1))] for value in peaks)


def stretches(found: Sequence[Mapping[str, float]]) -> str:
    """Stretches of time as people write them."""
    return ", ".join(f"{part['from_seconds']:.1f}-{part['to_seconds']:.1f} s" for part in found) or "none"


def by_hand(state: State, job_id: str) -> str:
    """The curl command that reads the per-frame rows."""
    return f"curl -sS -H 'Authorization: Bearer {state.api_key}' '{state.api_url}/v1/jobs/{job_id}/frames'"


def log_tails(home: Home) -> list[str]:
    """The end of each log that is there, the parts that do the work first."""
    lines = []
    for name in ("up", "web", "worker", "dispatcher", "migrate", "postgres", "redis"):
        path = home.logs / f"{name}.log"
        if path.exists():
            lines += ["", f"--- the end of {path}", tail(path, 20)]
    return lines
