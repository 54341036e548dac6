"""Uploads go when they expire, or with the job that took them."""

from __future__ import annotations

import pytest

from storage.errors import ObjectNotFound, ObjectStoreUnavailable, UploadNotFound
from storage.ids import new_id
from tests.integration.deletion.bed import Bed


def test_an_expired_upload_goes_at_once_with_its_parts(bed: Bed) -> None:
    begun, whole = bed.upload(expired=True), bed.upload(expired=True, state="complete", body=True)
    assert bed.stored() == [whole.key]
    bed.deletion.run_pass()
    assert bed.stored() == []
    with pytest.raises(ObjectNotFound):
        bed.objects.list_parts(begun.key, begun.multipart_id)


def test_an_upload_that_may_still_be_used_or_was_taken_by_a_job_stays(bed: Bed) -> None:
    open_upload = bed.upload(expired=False)
    complete = bed.upload(expired=False, state="complete", body=True)
    taken = bed.upload(expired=True, state="complete", body=True)
    # the job takes it in the last moment
    bed.job(new_id(), key=taken.key, upload_id=taken.id)
    bed.walk()
    bed.walk()
    assert bed.stored() == sorted([complete.key, taken.key])
    assert bed.objects.list_parts(open_upload.key, open_upload.multipart_id) == []


def test_the_object_of_an_upload_goes_with_the_job_that_took_it(bed: Bed) -> None:
    upload = bed.upload(expired=False, state="complete", body=True)
    job_id = new_id()
    bed.job(job_id, key=upload.key, upload_id=upload.id)
    bed.queue.store.erase(job_id)
    with pytest.raises(UploadNotFound):
        bed.uploads.get(upload.id, "tenant")
    bed.walk()
    assert bed.stored() == []


def test_an_upload_whose_deletion_failed_is_found_by_the_walk(bed: Bed) -> None:
    upload = bed.upload(expired=True, state="complete", body=True)
    bed.objects.down = True
    with pytest.raises(ObjectStoreUnavailable):
        bed.deletion.run_pass()
    bed.objects.down = False
    assert bed.stored() == [upload.key]
    bed.walk()
    assert bed.stored() == []
