"""What a scenario is, and where they are found: every module of ``bench.faults.scenarios`` names its own."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from bench.faults import scenarios as package

if TYPE_CHECKING:
    from bench.faults.world import World


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether the bar was met, and by what figures; the invariants are judged besides, from the history."""

    passed: bool
    #: plain JSON data, short enough for a line of a table
    figures: Mapping[str, Any] = field(default_factory=dict)
    #: what a reader must know, such as why it was not met
    note: str = ""


class Scenario(Protocol):
    """A fault, the bar it is held to, and the run that shows it."""

    #: as it is asked for on the command line
    name: str
    #: one sentence: what is done to the stack
    fault: str
    #: one sentence: what must hold
    bar: str

    def run(self, world: World) -> Outcome:
        """Start a stack by ``world.start``, hurt it, and measure.

        An AssertionError counts as a bar that was missed. The stack is left running: it is judged, then ended.
        """


class UnknownScenario(Exception):
    """A name that no scenario has."""


def registry() -> dict[str, Scenario]:
    """Every scenario by its name: what the tuples ``SCENARIOS`` of the modules hold; the longest last."""
    found: dict[str, Scenario] = {}
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda module: module.name):
        for scenario in importlib.import_module(f"{package.__name__}.{module.name}").SCENARIOS:
            if scenario.name in found:
                raise ValueError(f"two scenarios are called {scenario.name}")
            found[scenario.name] = scenario
    return dict(sorted(found.items(), key=lambda item: item[0] == "soak"))


def chosen(names: str) -> list[Scenario]:
    """The scenarios of a list with commas; all of them when it is empty. Raises: UnknownScenario."""
    known = registry()
    wanted = [name.strip() for name in names.split(",") if name.strip()] or list(known)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise UnknownScenario(f"no scenario {', '.join(unknown)}; there are: {', '.join(known)}")
    return [known[name] for name in wanted]
