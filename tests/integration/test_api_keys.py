"""API keys from the shell."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from storage.access import KeyStore
from storage.database import Database
from web.keys import main


@pytest.fixture
def shell(database_url: str, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("FQ_DATABASE_URL", database_url)
    return CliRunner()


def run(shell: CliRunner, *words: str) -> Result:
    return shell.invoke(main, list(words))


def test_an_issued_key_is_all_that_goes_to_standard_output_and_works(shell: CliRunner, database: Database) -> None:
    done = run(
        shell, "issue", "--tenant", "acme", "--name", "laptop", "--scopes", "submit, read", "--expires-days", "2"
    )
    assert done.exit_code == 0
    key = KeyStore(database).find(done.stdout.strip())
    assert key is not None
    assert (key.tenant, key.name, key.scopes) == ("acme", "laptop", {"submit", "read"})
    assert key.expires_at is not None


def test_a_list_shows_keys_without_their_secrets_and_a_revoked_one_as_such(shell: CliRunner) -> None:
    secret = run(shell, "issue", "--name", "laptop").stdout.strip()
    line = run(shell, "list").stdout
    key_id = line.split()[0]
    assert secret not in line
    assert f"...{secret[-4:]}" in line
    assert run(shell, "revoke", key_id).exit_code == 0
    assert "revoked" in run(shell, "list", "--tenant", "default").stdout
    assert run(shell, "revoke", key_id).exit_code == 1


@pytest.mark.parametrize("scopes", ["", "everything", "read,root"])
def test_an_unknown_scope_is_refused(shell: CliRunner, scopes: str) -> None:
    done = run(shell, "issue", "--name", "x", "--scopes", scopes)
    assert done.exit_code == 2
    assert "submit, read, operate, admin" in done.stderr


def test_a_missing_setting_and_a_dead_database_are_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = CliRunner()
    assert "FQ_DATABASE_URL" in run(shell, "list").stderr
    monkeypatch.setenv("FQ_DATABASE_URL", "postgresql://x@127.0.0.1:9/x")
    done = run(shell, "list")
    assert (done.exit_code, "does not answer" in done.stderr) == (1, True)


def test_help_needs_no_database() -> None:
    assert run(CliRunner(), "issue", "--help").exit_code == 0
