from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

import psycopg2
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from deploy.local.child import StartError, identify
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.reach import service_folder
from tests.services import running_redis


def server_of(folder: Path, password: str) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder / "data", password=password, log_path=folder / "postgres.log", durable=False)


def test_postgres_refuses_a_wrong_password(postgres: EmbeddedPostgres) -> None:
    wrong = postgres.url().replace(postgres.url().split(":")[2].split("@")[0], "wrong")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(wrong)


def test_postgres_listens_on_loopback_alone_and_never_as_root(postgres: EmbeddedPostgres) -> None:
    with psycopg2.connect(postgres.url()) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW listen_addresses")
        assert cursor.fetchone() == ("127.0.0.1",)
        cursor.execute("SHOW server_version_num")
        assert int(cursor.fetchone()[0]) >= 180000
    connection.close()
    assert os.stat(f"/proc/{postgres.child.pid}").st_uid != 0
    assert stat.S_IMODE(os.stat(postgres.data_dir).st_mode) == 0o700


def test_postgres_keeps_its_rows_over_a_restart_after_being_killed() -> None:
    with service_folder("pg") as folder:
        password = secrets.token_hex(8)
        with server_of(folder, password) as server:
            server.create_database("kept")
            os.kill(server.child.pid, 9)
        with server_of(folder, password) as again:
            psycopg2.connect(again.url("kept")).close()


def test_a_server_left_over_the_same_folder_is_stopped_before_the_next_starts() -> None:
    with service_folder("pg") as folder:
        password = secrets.token_hex(8)
        with server_of(folder, password) as left:
            identity = left.child.identity
            with server_of(folder, password) as again:
                assert not identity.alive()
                assert again.child.ended() is None


def test_a_folder_made_with_another_password_is_refused_with_advice() -> None:
    with service_folder("pg") as folder:
        with server_of(folder, "one"):
            pass
        with pytest.raises(StartError, match="make clean"):
            server_of(folder, "two").start()


def test_a_stopped_server_leaves_no_process() -> None:
    with service_folder("pg") as folder, server_of(folder, "secret") as server:
        pid = server.child.pid
        server.stop()
        assert identify(pid) is None


def test_redis_asks_for_the_password_and_evicts_nothing() -> None:
    with running_redis() as server:
        with (
            redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
        with redis.Redis.from_url(server.url(), decode_responses=True) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("bind") == {"bind": "127.0.0.1"}
