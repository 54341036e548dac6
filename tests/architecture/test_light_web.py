"""The front end stays light: no model runtime, no decoder, no array library, whatever it imports and when."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HEAVY = ["torch", "av", "cv2", "onnxruntime", "numpy", "PIL"]
REPOSITORY = Path(__file__).resolve().parents[2]

PROGRAM = """
import json, sys
import web.wsgi
app = web.wsgi.app
client = app.test_client()
statuses = [client.get(path).status_code for path in ("/", "/docs", "/v1/openapi.json", "/health")]
print(json.dumps({"modules": sorted(sys.modules), "statuses": statuses}))
"""


def run(program: str, settings: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh interpreter with these settings and no others."""
    command = [sys.executable, "-c", program, *arguments]
    environment = {"PATH": os.environ["PATH"], **settings}
    return subprocess.run(
        command, check=False, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )


def test_web_makes_and_serves_its_app_without_a_heavy_library_or_a_database(tmp_path: Path) -> None:
    environment = {
        "FQ_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
        "FQ_REDIS_URL": "redis://127.0.0.1:9/0",
        "FQ_STORE": f"file://{tmp_path}/objects",
        "FQ_STORE_SECRET": "x" * 32,
    }
    done = run(PROGRAM, environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["statuses"] == [200] * 4
    assert [name for name in HEAVY if name in found["modules"]] == []
    assert "web.api.jobs" in found["modules"]


def test_importing_the_entry_needs_no_settings_and_has_no_effect() -> None:
    program = "import sys, web.wsgi; print([name for name in sys.argv[1:] if name in sys.modules])"
    done = run(program, {}, *HEAVY)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
