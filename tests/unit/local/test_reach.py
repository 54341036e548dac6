from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from deploy.local import postgres, reach
from deploy.local.child import StartError
from deploy.local.postgres import EmbeddedPostgres, installed_programs
from deploy.local.reach import reachable_data_dir, reachable_programs, unprivileged

AS_ROOT = os.geteuid() == 0


@pytest.fixture
def private(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that its owner alone can pass, and a stand-in root that everybody can."""
    open_root = Path(tempfile.mkdtemp(prefix="fq-test-reach-"))
    open_root.chmod(0o755)
    monkeypatch.setattr(reach, "REACHABLE_ROOT", open_root)
    folder = Path(tempfile.mkdtemp(prefix="fq-test-private-"))
    yield folder
    shutil.rmtree(folder)
    shutil.rmtree(open_root)


def test_an_ordinary_user_keeps_data_where_wanted_and_root_where_its_server_can_get(private: Path) -> None:
    account = unprivileged(private / "data")
    assert (account is not None) == AS_ROOT
    found = reachable_data_dir(private / "data", account)
    assert (found != private / "data") == AS_ROOT
    assert reachable_data_dir(private / "data", account) == found, "the same place at the next start"


def test_postgres_starts_from_programs_and_data_in_a_private_folder(
    private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = installed_programs().parent
    for folder in (wheel / "pginstall18", wheel.with_name(wheel.name + ".libs")):
        shutil.copytree(folder, private / folder.relative_to(wheel.parent), symlinks=True)
    monkeypatch.setattr(postgres, "installed_programs", lambda: private / wheel.name / "pginstall18")
    with EmbeddedPostgres(private / "data", password="p", log_path=private / "log", durable=False) as server:
        psycopg2.connect(server.url()).close()
        assert Path(f"/proc/{server.child.pid}/exe").readlink().is_relative_to(reach.REACHABLE_ROOT) == AS_ROOT


@pytest.mark.skipif(not AS_ROOT, reason="only root can give files to others")
def test_root_starts_an_ordinary_users_data_as_that_user(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 12345, 12345)
    account = unprivileged(data)
    assert account is not None
    assert (account.uid, account.gid) == (12345, 12345)


def test_a_place_for_root_that_belongs_to_another_is_not_trusted(private: Path) -> None:
    if not AS_ROOT:
        assert reachable_programs(installed_programs(), None) == installed_programs()
        return
    os.chown(reach.REACHABLE_ROOT, 12345, 12345)
    with pytest.raises(StartError, match="belongs to another user"):
        reachable_data_dir(private / "data", unprivileged(private / "data"))
