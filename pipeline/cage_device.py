"""Which device the cage's next child is to open, and what becomes of a child that cannot."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.cage_process import CageProcess
from pipeline.decoder_choice import CPU, Verdict
from pipeline.errors import CageUnavailable


class WantedDevice:
    """The device that was asked for, left out after a fault until it is due ``again``."""

    def __init__(self, name: str) -> None:
        """Take ``cpu``, ``cuda`` or ``cuda:<n>``."""
        self._asked = self.name = name
        #: why it is left out; empty where it is not
        self.fault = ""
        self._why = ""

    def again(self) -> None:
        """Have the next child try it."""
        self.name, self.fault = self._asked, ""

    def verdict(self, told: Verdict | None) -> Verdict | None:
        """Return what a child told of its decoder; where it was not asked for the device, why that."""
        return Verdict(CPU, self._why) if told is not None and self.fault else told

    def broke(self) -> None:
        """Take note that a child ended that nobody wanted to end."""
        self._leave_out("broke", "a decoding process broke with it")

    def started(self, start: Callable[[str], CageProcess]) -> CageProcess:
        """Start a child with the device, or without it where it cannot be opened: then nothing is given up for it.

        Raises: CageUnavailable.
        """
        process = start(self.name)
        if self.name == CPU:
            return process
        try:
            fault = process.device_fault
        except CageUnavailable as error:
            fault = error.message
        if not fault:
            return process
        process.close()
        self._leave_out("absent", fault)
        return start(CPU)

    def _leave_out(self, why: str, fault: str) -> None:
        if self.name != CPU:
            self.name, self._why, self.fault = CPU, why, fault
