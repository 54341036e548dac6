"""The one place that knows which object store the settings ask for."""

from __future__ import annotations

from storage.objects.port import ObjectStore
from storage.objects.settings import ObjectStoreSettings


def open_store(settings: ObjectStoreSettings) -> ObjectStore:
    """Return the store of ``FQ_STORE``; make it after a fork.

    Raises: ObjectStoreUnavailable (the local folder is not writable).
    """
    # inside the branches: boto3 takes a quarter of a second to load, and a local store has no use for it
    if settings.store_bucket is not None:
        from storage.objects.s3 import S3ObjectStore  # noqa: PLC0415

        return S3ObjectStore(settings.store_bucket, settings.s3_access)
    from storage.objects.local import LocalObjectStore  # noqa: PLC0415
    from storage.objects.signing import SignedUrls  # noqa: PLC0415

    secret = settings.store_secret.get_secret_value() if settings.store_secret else ""
    return LocalObjectStore(settings.store_folder, SignedUrls(secret, settings.public_url))
