"""No space left: on the store's disk, on a worker's, on the database's; and a database that only reads."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import psycopg2.extensions

from bench.embedded import eventually
from bench.faults import barcode
from bench.faults.load import Order
from bench.faults.paced import Paced, answers, slowest
from bench.faults.scenario import Outcome
from bench.faults.small_disk import NoMounts, SmallDisk, enter_own_mounts
from deploy.local.reach import service_folder

if TYPE_CHECKING:
    from bench.faults.world import World

MIB = 1 << 20
STORE_BYTES = 32 * MIB
SCRATCH_BYTES = 16 * MIB
#: what the database may grow by
DATABASE_SPARE_BYTES = 48 * MIB
PER_SECOND = 5.0
FULL_SECONDS = 30.0
BACK_SECONDS = 90.0
#: the longest a client waits for a refusal
REFUSED_WITHIN_SECONDS = 15.0
TAKEN = "202"
#: pictures that do not fit into what is left of a full disk's last page
PADDING_BYTES = 20_000


class NoSpace:
    """One after the other on one stack, with clients at a steady pace throughout."""

    name = "no-space"
    fault = (
        "The store's disk, a worker's scratch disk and the database's disk (small tmpfs) are filled to the last page "
        "one after another, then the database is made read-only, under load."
    )
    bar = "A clear error, nothing acknowledged is lost or dead, and all goes on when there is space."

    def run(self, world: World) -> Outcome:
        """See the protocol."""
        try:
            enter_own_mounts()
            folder = world.keep(service_folder("disks"))
            store, scratch = (_disk(world, folder / name, size) for name, size in _SIZES.items())
        except NoMounts as error:
            return Outcome(False, note=f"not run: {error}")
        told = {"FQ_STORE": f"file://{store.folder}"}
        # a worker that keeps inputs for later would make room by forgetting them
        small = {"FQ_SCRATCH_DIR": str(scratch.folder), "FQ_SCRATCH_BYTES": "0"}
        world.start(
            workers=1,
            settings={"FQ_CONCURRENCY": "1"},
            parts={"*": told, "worker": told | small},
        )
        database = _small_disk_for_the_database(world)
        figures: dict[str, Any] = {
            "store": _phase(world, "the store's disk", _full(store), {"507 storage.full"}),
            "scratch": _phase(world, "the worker's scratch disk", _full_and_seen(world, scratch), {TAKEN}),
            "database": _phase(world, "the database's disk", _full(database), _UNAVAILABLE),
            "read-only": _phase(world, "a database that only reads", _read_only(world), _UNAVAILABLE),
        }
        figures["jobs"] = dict(world.books.states())
        faults = [fault for name in ("store", "scratch", "database", "read-only") for fault in figures[name]["faults"]]
        if set(figures["jobs"]) != {"succeeded"}:
            faults.append("not all jobs succeeded")
        return Outcome(not faults, figures, "; ".join(faults))


_SIZES = {"store": STORE_BYTES, "scratch": SCRATCH_BYTES}
_UNAVAILABLE = {"503 database.unavailable", "507 database.full", TAKEN}


def _disk(world: World, folder: Path, size_bytes: int) -> SmallDisk:
    folder.mkdir(mode=0o700)
    return world.keep(SmallDisk(folder, size_bytes))


def _small_disk_for_the_database(world: World) -> SmallDisk:
    """Move the data folder onto a disk with little room while the server is stopped."""
    data = Path(os.readlink(f"/proc/{world.stack.pid('postgres')}/cwd"))
    world.nemesis.stop("postgres")
    used = sum(path.stat().st_blocks * 512 for path in data.rglob("*"))
    disk = SmallDisk(data, used + DATABASE_SPARE_BYTES)
    disk.mount()
    world.nemesis.start("postgres")
    return disk


@contextlib.contextmanager
def _full(disk: SmallDisk) -> Iterator[None]:
    disk.fill()
    try:
        yield
    finally:
        disk.clear()


@contextlib.contextmanager
def _full_and_seen(world: World, scratch: SmallDisk) -> Iterator[None]:
    """Full, and seen to be."""
    with _full(scratch):
        yield
        assert _held_up(world, "scratch.unavailable"), "the full scratch disk held nobody up"


@contextlib.contextmanager
def _read_only(world: World) -> Iterator[None]:
    _configure(world, "ALTER SYSTEM SET default_transaction_read_only = on")
    try:
        yield
    finally:
        _configure(world, "ALTER SYSTEM RESET default_transaction_read_only")


def _phase(
    world: World, what: str, fault: contextlib.AbstractContextManager[None], expected: set[str]
) -> dict[str, Any]:
    """Clients go on; the disk is full for a while; what was taken is done in the end."""
    order = Order(media=_padded)
    with Paced(world, PER_SECOND, order) as clients:
        time.sleep(3.0)
        with fault:
            world.inject("no space", what)
            since = time.time()
            time.sleep(world.seconds(FULL_SECONDS, least=8.0))
            until = time.time()
        back = _back_after(world, clients, until)
        sent = clients.stop()
    during = [one for one in sent if since + 1.0 <= one.sent_at < until]
    ended = world.settle(BACK_SECONDS)
    told = {
        "answers": answers(during),
        "slowest answer (s)": slowest(during),
        "taken again after (s)": round(back, 1),
        "all done after (s)": round(ended, 1),
        "charged": _charged(world),
    }
    wrong = {
        "nobody asked": not during,
        f"answers were {told['answers']}": not set(told["answers"]) <= expected,
        "an answer took too long": told["slowest answer (s)"] > REFUSED_WITHIN_SECONDS,
        "a job was charged": told["charged"] > 0,
    }
    told["faults"] = [f"{what}: {fault}" for fault, is_so in wrong.items() if is_so]
    world.say(f"{what}: {told}")
    return told


def _padded(number: int) -> bytes:
    """A picture with something behind its end, which decoders pass over."""
    return barcode.still(number) + bytes(PADDING_BYTES)


def _back_after(world: World, clients: Paced, since: float) -> float:
    """How long after the space came back a submission was taken that was sent after it."""
    eventually(
        lambda: any(one.job_id is not None and one.sent_at >= since for one in clients.sent),
        BACK_SECONDS,
        f"{BACK_SECONDS:g} s after there is space again nothing is taken",
        every=0.1,
    )
    first = min(
        one.sent_at + one.took_seconds for one in clients.sent if one.job_id is not None and one.sent_at >= since
    )
    return max(0.0, first - since)


def _held_up(world: World, code: str) -> int:
    sql = "SELECT count(*) FROM job_events WHERE kind = 'held_up' AND data ->> 'code' = %s"
    return int(world.books.ask(sql, code)[0][0])


def _charged(world: World) -> int:
    return int(world.books.patient("SELECT coalesce(sum(attempts), 0) FROM segments")[0][0])


def _configure(world: World, statement: str) -> None:
    url = world.stack.state.database_url
    connection = psycopg2.connect(url, connect_timeout=5, options="-c default_transaction_read_only=off")
    try:
        connection.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_AUTOCOMMIT)
        with connection.cursor() as cursor:
            cursor.execute(statement)
            cursor.execute("SELECT pg_reload_conf()")
    finally:
        connection.close()


SCENARIOS = (NoSpace(),)
