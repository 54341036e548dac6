"""Progress goes out through checkpoint, and what it raises ends the run at once."""

from __future__ import annotations

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import CageError, MediaError
from pipeline.run import Range, run_works
from tests.fakes.fake_cage import FakeCage, FakeMedia
from tests.fakes.fake_pipeline import FakePipeline
from tests.unit.pipeline.run.bed import Bed, levels


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=5),
    st.integers(1, 9),
    st.integers(0, 19),
    st.sampled_from([3, 1000]),
)
def test_progress_never_falls_and_ends_at_the_total(tmp_path, sizes, batch, bad, planned):
    bed = Bed(tmp_path)
    media = {f"m{n}": FakeMedia(frames=size) for n, size in enumerate(sizes)}
    media["m0"].breaks_at = {bad: MediaError("broken")}
    bed.cage(**media)
    told = []
    works = [bed.work(name, Range(frames=min(planned, one.frames))) for name, one in media.items()]
    bed.run(FakePipeline(), works, checkpoint=lambda done, total: told.append((done, total)), batch_size=batch)
    total = sum(work.range.frames for work in works)
    assert {one for _, one in told} == {total}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (total, total)


def test_what_checkpoint_raises_passes_through_and_everything_is_closed(bed):
    class Canceled(BaseException):
        pass

    def checkpoint(done, total):
        if done >= 8:
            raise Canceled

    bed.cage(a=FakeMedia(frames=1000))
    with pytest.raises(Canceled):
        bed.run(FakePipeline(), bed.works("a"), checkpoint=checkpoint)
    assert bed.cage.open_requests == 0
    assert len(bed.cage.decoded) < 30
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_checkpoint_is_asked_while_the_decoder_searches_for_the_next_frame(bed):
    asked = threading.Event()

    class Searching(FakeCage):
        def frames(self, path, wanted, **options):
            assert asked.wait(30)
            yield from super().frames(path, wanted, **options)

    bed.cage = Searching(a=FakeMedia(frames=3))
    bed.paths = bed.cage.files(bed.folder)
    told = []

    def checkpoint(done, total):
        told.append((done, total))
        asked.set()

    assert levels(bed.run(FakePipeline(), bed.works("a"), checkpoint=checkpoint)[0]) == [0, 1, 2]
    assert told == [(0, 3), (3, 3)]


def test_a_work_that_was_whole_is_given_out_before_checkpoint_can_stop_the_run(bed):
    def checkpoint(done, total):
        raise InterruptedError

    bed.cage(a=FakeMedia(frames=2), b=FakeMedia(frames=50))
    results = run_works(FakePipeline(), bed.works("a", "b"), {}, bed.cage, None, checkpoint=checkpoint, batch_size=8)
    assert levels(next(results)) == [0, 1]
    with pytest.raises(InterruptedError):
        next(results)


def test_a_decoder_that_hangs_is_killed_when_the_run_is_stopped(bed):
    killed, hanging = threading.Event(), threading.Event()

    class Hanging(FakeCage):
        def frames(self, path, wanted, **options):
            yield from super().frames(path, wanted[:4], **options)
            hanging.set()
            assert killed.wait(30)
            raise CageError("killed")

        def kill(self):
            killed.set()

    bed.cage = Hanging(a=FakeMedia(frames=100))
    bed.paths = bed.cage.files(bed.folder)

    def checkpoint(done, total):
        assert hanging.wait(30)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        bed.run(FakePipeline(), bed.works("a"), checkpoint=checkpoint, batch_size=3)
    assert killed.is_set()
