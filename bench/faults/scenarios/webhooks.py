"""A receiver of webhooks that is away for long and then fails half of the time."""

from __future__ import annotations

from bench.faults.load import Order
from bench.faults.receiver import Receiver, half_of_the_time
from bench.faults.scenario import Outcome
from bench.faults.world import World

PER_SECOND = 2.0
LOAD_SECONDS = 60.0
AWAY_SECONDS = 600.0
#: of the real pauses: 72 h become 43 min, the longest pause (4 h) 2.4 min; less where the receiver is away less
RETRY_SCALE = 0.01
#: after the receiver is back: the longest pause, as often as a hundred coins take to have fallen well, and some more
PATIENCE_SECONDS = 2000.0


class Webhooks:
    """Jobs end in every way, and some twice by a replay; each end has one event, which comes in the end."""

    name = "webhooks"
    fault = "the receiver of webhooks is away for 10 min, then answers half of the requests with 500"
    bar = "100 % delivered, one event id for each end, every signature valid"

    def run(self, world: World) -> Outcome:
        receiver = Receiver()
        away_seconds = world.seconds(AWAY_SECONDS, least=10)
        retry_scale = RETRY_SCALE * min(1.0, away_seconds / AWAY_SECONDS)
        world.start(
            settings={"FQ_WEBHOOK_PRIVATE_HOSTS": receiver.address, "FQ_WEBHOOK_RETRY_SCALE": f"{retry_scale:.6f}"}
        )
        with world.stack.client() as client:
            receiver.secret = client.post("/v1/webhooks/secrets", json={}).raise_for_status().json()["secret"]
        self._load(world, receiver)
        away = world.inject("away", "receiver")
        world.pause(away_seconds)
        receiver.fails = half_of_the_time(world.rng)
        with receiver.listening():
            away.until = world.books.now()
            took = world.wait_for(lambda: self._pending(world) == 0, PATIENCE_SECONDS, "webhooks are still pending")
        return self._outcome(world, receiver, took)

    def _load(self, world: World, receiver: Receiver) -> None:
        """Some succeed, some fail, some are canceled, and some of each are run again."""
        told = {"webhook_url": receiver.url}
        whole, broken = Order(fields=told), Order(fields=told, media=lambda _: b"\x89PNG\r\n\x1a\n" * 9, rows=None)
        world.load.start(PER_SECOND, whole, whole, whole, broken)
        world.pause(world.seconds(LOAD_SECONDS, least=5))
        with world.stack.client() as client:
            for job_id in world.load.job_ids[-10:]:
                client.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
            world.load.stop()
            world.settle()
            for job_id in world.rng.sample(world.load.job_ids, world.size(20, least=2)):
                client.post(f"/v1/jobs/{job_id}/replay").raise_for_status()
        world.settle()

    def _pending(self, world: World) -> int:
        return int(world.books.ask("SELECT count(*) FROM webhook_events WHERE state = 'pending'")[0][0])

    def _outcome(self, world: World, receiver: Receiver, took: float) -> Outcome:
        ask = world.books.ask
        ends = {(str(job), run, state) for job, run, state in ask(
            "SELECT job_id::text, run, kind FROM job_events WHERE kind IN ('succeeded', 'failed', 'dead', 'canceled')"
        )}  # fmt: skip
        events = {str(event): state for event, state in ask("SELECT id::text, state FROM webhook_events")}
        told = receiver.ends()
        figures = {
            "ends": len(ends),
            "events": len(events),
            "delivered": sum(state == "delivered" for state in events.values()),
            "attempts": sum(receiver.attempts.values()),
            "ends told by other than one event": len(ends.symmetric_difference(told))
            + sum(n > 1 for n in told.values()),
            "events that changed their words": sum(len(bodies) > 1 for bodies in receiver.bodies.values()),
            "without a valid signature": receiver.unsigned,
            "all delivered after (s)": round(took, 1),
        }
        faults = [
            name for name in figures if name.startswith(("ends told", "events that", "without")) and figures[name]
        ]
        whole = len(ends) == len(events) == figures["delivered"] == len(receiver.accepted)
        return Outcome(whole and not faults and len(ends) > 0, figures, "; ".join(faults))


SCENARIOS = (Webhooks(),)
