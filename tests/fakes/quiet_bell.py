"""A doorbell, and hints, that remember instead of telling anybody."""

from __future__ import annotations


class QuietBell:
    """``rung`` holds lane, size class and count of every ring, ``told`` the jobs whose clients were told."""

    def __init__(self) -> None:
        self.rung: list[tuple[str, str, int]] = []
        self.told: list[str] = []

    def ring(self, lane: str, size_class: str, count: int = 1) -> None:
        self.rung.append((lane, size_class, count))

    def heard(self, timeout_seconds: float) -> bool:
        return True

    def tell(self, job_id: str) -> None:
        self.told.append(job_id)
