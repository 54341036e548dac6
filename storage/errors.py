"""Errors of the storage package.

StorageError
├── NotFound
│   ├── JobNotFound
│   ├── UploadNotFound
│   ├── BatchNotFound
│   ├── ModelUnknown
│   ├── ObjectNotFound
│   ├── ReplayOrderNotFound
│   └── WebhookNotFound
├── Refused                    the request contradicts what is stored
│   ├── IdempotencyConflict
│   ├── StateConflict
│   ├── ModelInactive
│   ├── BatchFull
│   ├── ItemDuplicate
│   ├── InputGone
│   ├── CursorInvalid
│   ├── ObjectTooLarge
│   ├── ObjectMismatch
│   ├── WebhookDisabled
│   └── WebhookSecretsFull
└── StorageUnavailable         try again later; nothing was acknowledged
    ├── DatabaseUnavailable
    └── ObjectStoreUnavailable
        └── ObjectStoreFull

Each class carries a stable ``code`` (``noun.fault``) that clients may rely on.
"""

from __future__ import annotations


class StorageError(Exception):
    """Root of the tree; never raised itself."""

    code = "storage.error"


class NotFound(StorageError):
    """No such thing, or it belongs to another tenant."""

    code = "resource.unknown"


class JobNotFound(NotFound):
    """No such job for this tenant."""

    code = "job.unknown"


class UploadNotFound(NotFound):
    """No such open upload for this tenant."""

    code = "upload.unknown"


class BatchNotFound(NotFound):
    """No such batch for this tenant."""

    code = "batch.unknown"


class ObjectNotFound(NotFound):
    """The object store holds nothing under this key."""

    code = "object.unknown"


class ReplayOrderNotFound(NotFound):
    """No such order to replay dead letters for this tenant."""

    code = "replay.unknown"


class WebhookNotFound(NotFound):
    """No such webhook secret, delivery or endpoint for this tenant."""

    code = "webhook.unknown"


class ModelUnknown(NotFound):
    """No such model, or no such version of it."""

    code = "model.unknown"


class Refused(StorageError):
    """The request contradicts what is stored."""

    code = "request.conflict"


class IdempotencyConflict(Refused):
    """The idempotency key was used before with another request."""

    code = "idempotency.conflict"


class StateConflict(Refused):
    """The row is in a state from which this change is not allowed."""

    code = "state.conflict"


class ModelInactive(Refused):
    """No version of the model may serve, or the one that is wanted may not."""

    code = "model.inactive"


class BatchFull(Refused):
    """The batch holds as many items as one may have."""

    code = "batch.full"


class ItemDuplicate(Refused):
    """The batch has another item of this key."""

    code = "item.duplicate"


class InputGone(Refused):
    """The job's input was deleted, so it cannot run again."""

    code = "input.gone"


class CursorInvalid(Refused):
    """The cursor of a listing is none that a listing returned."""

    code = "cursor.invalid"


class ObjectTooLarge(Refused):
    """The body is larger than the limit; nothing was kept."""

    code = "media.too_large"


class ObjectMismatch(Refused):
    """Size, checksum or part list of an object differ from what was declared."""

    code = "upload.mismatch"


class WebhookDisabled(Refused):
    """The endpoint has answered 410; nothing is sent there until it is enabled again."""

    code = "webhook.disabled"


class WebhookSecretsFull(Refused):
    """As many secrets sign already as may."""

    code = "webhook.secrets_full"


class StorageUnavailable(StorageError):
    """A service behind the storage package does not answer; try again later."""

    code = "storage.unavailable"


class DatabaseUnavailable(StorageUnavailable):
    """PostgreSQL refuses, times out or is read-only."""

    code = "database.unavailable"


class ObjectStoreUnavailable(StorageUnavailable):
    """The object store refuses or times out."""

    code = "storage.unavailable"


class ObjectStoreFull(ObjectStoreUnavailable):
    """The object store has no space left."""

    code = "storage.full"
