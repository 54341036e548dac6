"""Client of Framequeue: submit images and videos, wait, read results.

>>> from framequeue import Client
>>> with Client() as client:
...     job = client.submit("clip.mp4", "motion").wait()
...     print(job.summary)
"""

from framequeue.artifacts import Artifact
from framequeue.batches import Batch
from framequeue.client import Client
from framequeue.dead import DeadGroup, ReplayOrder
from framequeue.documents import Fault, Frame, JobWarning, Page, Pipeline, Upload
from framequeue.errors import (
    APIConnectionError,
    APIError,
    APIStatusError,
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    FramequeueError,
    InvalidError,
    JobFailedError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    WaitTimeoutError,
)
from framequeue.job import Job
from framequeue.models import ModelVersion
from framequeue.version import __version__
from framequeue.webhooks import WebhookInvalidError, verify

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIStatusError",
    "Artifact",
    "AuthenticationError",
    "Batch",
    "Client",
    "ConfigurationError",
    "ConflictError",
    "DeadGroup",
    "Fault",
    "Frame",
    "FramequeueError",
    "InvalidError",
    "Job",
    "JobFailedError",
    "JobWarning",
    "ModelVersion",
    "NotFoundError",
    "Page",
    "PermissionDeniedError",
    "Pipeline",
    "RateLimitError",
    "ReplayOrder",
    "ServerError",
    "Upload",
    "WaitTimeoutError",
    "WebhookInvalidError",
    "__version__",
    "verify",
]
