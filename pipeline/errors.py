"""Errors of the pipeline package.

PipelineError
├── InputError                 the input's or the request's fault; trying again cannot help
│   ├── MediaError             media.undecodable, media.unsupported, media.empty, media.too_large ...
│   └── ParamsError            params.invalid, model.unknown
├── ModelError                 a model that fails on this input or gives something else than its card says
├── ModelUnavailable           weights cannot be had just now (no network, no mirror)
├── DeviceOutOfMemory          halve the batch and go on
├── CageUnavailable            the decoding process does not start; no input is to blame
└── CageError                  the decoding process died, hung or passed a limit: cage.crashed, cage.hung, cage.memory

Each carries a stable ``code`` (``noun.fault``) and, where one exists, ``advice`` for the client.
"""

from __future__ import annotations


class PipelineError(Exception):
    """Root of the tree: a code, a sentence, and advice."""

    code = "pipeline.error"

    def __init__(self, message: str, *, code: str | None = None, advice: str | None = None) -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.message = message
        self.advice = advice


class InputError(PipelineError):
    """The input's or the request's fault; trying again cannot help."""

    code = "input.invalid"


class MediaError(InputError):
    """The file cannot or must not be decoded."""

    code = "media.undecodable"


class ParamsError(InputError):
    """Parameters that the schema allows but this input or model does not."""

    code = "params.invalid"


class ModelError(PipelineError):
    """A model failed on this input, or its output has another shape than its card says."""

    code = "model.failed"


class ModelUnavailable(PipelineError):
    """The weights cannot be had just now."""

    code = "model.unavailable"


class DeviceOutOfMemory(PipelineError):
    """The device has no room for this batch."""

    code = "device.out_of_memory"


class CageError(PipelineError):
    """The decoding process died, hung, or ran past a limit.

    Whether that is the input's fault is decided by repetition, not here.
    """

    code = "cage.crashed"


class CageUnavailable(PipelineError):
    """The decoding process does not start: no memory, no processes left, a damaged installation."""

    code = "cage.unavailable"
