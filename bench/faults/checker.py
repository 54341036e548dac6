"""The checker: whether a history keeps the promises; it decides purely, and names what breaks them.

verdict = check(read_history(url), acknowledged=load.acknowledged, kills=world.injected, objects=Stored(store))
assert verdict.held, verdict
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.faults.client_rules import Sample, promised, shown
from bench.faults.history import History, JobRow
from bench.faults.job_life import ENDS, JobLife
from bench.faults.job_rules import Case, Evidence, Objects, judge
from bench.faults.recovery import Kill, percentiles, recovery_seconds
from bench.faults.violations import RULES, Violation

__all__ = ["RULES", "Kill", "Objects", "Sample", "Verdict", "Violation", "check", "percentiles", "recovery_seconds"]

#: violations that a verdict prints
SHOWN = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found; ``counts`` is plain data, such as jobs, runs, executions, refused, succeeded."""

    violations: Sequence[Violation]
    counts: Mapping[str, int]
    #: jobs that have not ended; a violation each unless the run was cut short
    unended: Sequence[str] = ()

    @property
    def held(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations

    @property
    def broken(self) -> Mapping[str, int]:
        """Rule -> how often it was broken."""
        return dict(Counter(violation.rule for violation in self.violations))

    def as_json(self) -> dict[str, Any]:
        """What a results file keeps."""
        told = [str(violation) for violation in self.violations[:SHOWN]]
        return {"held": self.held, "counts": dict(self.counts), "broken": dict(self.broken), "violations": told}

    def __str__(self) -> str:
        told = ", ".join(f"{count} {what}" for what, count in self.counts.items())
        if self.held:
            return f"every promise kept: {told}"
        lines = [f"{len(self.violations)} violations {dict(self.broken)} in {told}"]
        lines += [str(violation) for violation in self.violations[:SHOWN]]
        return "\n".join(lines + ["..."] * (len(self.violations) > SHOWN))


@dataclass(slots=True)
class _Findings:
    violations: list[Violation] = field(default_factory=list)
    lives: dict[str, JobLife] = field(default_factory=dict)


def check(
    history: History,
    *,
    acknowledged: Mapping[str, Collection[str]],
    attempted: Collection[str] | None = None,
    erased: Collection[str] = (),
    kills: Iterable[Kill] | None = None,
    objects: Objects | None = None,
    samples: Iterable[Sample] = (),
    expected_rows: Mapping[str, int] | None = None,
    cut_short: bool = False,
) -> Verdict:
    """Hold a history against every rule in ``RULES``.

    ``acknowledged``: idempotency key -> ids that were answered with 202. ``attempted``: keys of all requests, also of
    those that broke off; None: strangers are not looked for. ``erased``: jobs that clients deleted. ``kills``: faults
    on workers (``bench.faults.nemesis.Injection`` will do); None: losses need no explanation. ``objects``: the store;
    None: objects are not looked at. ``samples``: documents that clients saw. ``expected_rows``: job -> rows of its
    result. ``cut_short``: the run was ended early, so jobs may be under way; the verdict lists them.
    """
    evidence = Evidence(objects, _hurt(kills), _company(history), dict(expected_rows or {}))
    found = _Findings(list(promised(history, acknowledged, attempted, erased)))
    for job_id, job in history.jobs.items():
        case = Case(job, history.segments.get(job_id, ()), history.events.get(job_id, ()))
        life, violations = judge(case, evidence)
        found.lives[job_id] = life
        found.violations += violations
    seen = list(samples)
    found.violations += shown(seen, found.lives, erased)
    unended = [job.id for job in history.jobs.values() if job.state not in ENDS]
    if not cut_short:
        found.violations += [_unended(history.jobs[job_id]) for job_id in unended]
    counts = _counts(history, acknowledged, evidence) | {"samples": len(seen)}
    return Verdict(found.violations, counts, unended)


def _unended(job: JobRow) -> Violation:
    return Violation("job.unended", f"is {job.state}", job.id, job.run)


def _hurt(kills: Iterable[Kill] | None) -> Mapping[str, Sequence[float]] | None:
    if kills is None:
        return None
    times: defaultdict[str, list[float]] = defaultdict(list)
    for kill in kills:
        for worker_id in kill.worker_ids:
            times[worker_id].append(kill.at)
    return times


def _company(history: History) -> Mapping[str | None, int]:
    return Counter(event.claim_id for event in history.all_events() if event.kind == "claimed")


def _counts(history: History, acknowledged: Mapping[str, Collection[str]], evidence: Evidence) -> dict[str, int]:
    kinds = Counter(event.kind for event in history.all_events())
    states = Counter(job.state for job in history.jobs.values())
    return {
        "acknowledged": sum(len(ids) for ids in acknowledged.values()),
        "jobs": len(history.jobs),
        **{state: states[state] for state in sorted(states)},
        "segments": sum(len(rows) for rows in history.segments.values()),
        "events": kinds.total(),
        "executions": kinds["claimed"],
        "results": kinds["done"],
        "lost": kinds["lost"],
        "refused": kinds["refused"],
        "replays": kinds["replayed"],
        "objects": evidence.objects_looked_at,
    }
