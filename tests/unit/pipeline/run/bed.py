"""Media by name, and works over them."""

from __future__ import annotations

import numpy as np

from pipeline.run import Range, Work, run_works
from tests.fakes.fake_cage import FakeCage


def ignore(done, total):
    """A checkpoint that lets everything pass."""


def offset(first):
    return lambda place: np.full((4, 6, 3), first + place, dtype=np.uint8)


class Bed:
    """Media by name, and works over them."""

    def __init__(self, folder):
        self.folder = folder

    def cage(self, **media):
        self.cage = FakeCage(**media)
        self.paths = self.cage.files(self.folder)
        return self.cage

    def works(self, *names):
        return [self.work(name) for name in names]

    def work(self, name, span=None):
        media = self.cage.media[name]
        return Work(name, self.paths[name], span or Range(frames=media.frames), media.info())

    def run(self, pipeline, works, params=None, checkpoint=ignore, batch_size=4):
        found = list(
            run_works(pipeline, works, params or {}, self.cage, None, checkpoint=checkpoint, batch_size=batch_size)
        )
        assert self.cage.open_requests == 0
        return found


def levels(result):
    return [row["level"] for row in result.rows]
