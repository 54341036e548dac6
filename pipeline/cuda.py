"""NVIDIA's decoder, as libav drives it. No library of the driver is touched before one is asked for.

PyAV's wheels are built with it and load libcuda and libnvcuvid of the host's driver when a device is opened.
"""

from __future__ import annotations

import ctypes
import glob
from collections.abc import Sequence
from dataclasses import dataclass

import av.error
import av.logging
from av.codec import Codec
from av.codec.hwaccel import HWAccel, HWDeviceType

from pipeline import cage_limits
from pipeline.container import OpenVideo
from pipeline.decoder import Decoder
from pipeline.decoder_choice import CPU
from pipeline.libav_log import LibavLog

#: which the driver opens anew for each decoder, and what it reads of itself meanwhile
_DEVICE_FILES, _DRIVER_FACTS = "/dev/nvidia*", "/proc/driver/nvidia"
_DECODER_LIBRARY = "libnvcuvid.so.1"


class Cuda:
    """One GPU's decoder; implements ``acceleration.Device``."""

    def __init__(self, name: str) -> None:
        """Open ``cuda`` or ``cuda:<n>``. Raises: av.error.FFmpegError, OSError, NotImplementedError, ValueError."""
        self.name = name
        number = name.partition(":")[2] or None
        self.accel: HWAccel | None = HWAccel("cuda", number, allow_software_fallback=False, is_hw_owned=True)
        # both stay for the process's life: a later decoder finds context and library as they are
        self._held = self.accel.create(Codec("h264", "r"))
        self._library = ctypes.CDLL(_DECODER_LIBRARY)

    def decoder(self, video: OpenVideo) -> Decoder | None:
        """Return what decodes this video's packets there; None where libav's decoder of them knows no CUDA."""
        context = video.stream.codec_context
        kinds = [config.device_type for config in context.codec.hardware_configs if config.is_supported]
        return context if HWDeviceType.cuda in kinds else None


@dataclass(frozen=True, slots=True)
class Opened:
    """A device, or why there is none; files: those that its driver must be able to open later."""

    device: Cuda | None
    fault: str = ""
    files: Sequence[str] = ()


def open_device(name: str) -> Opened:
    """Open a device (``cuda``, ``cuda:<n>``; ``cpu``: none) where this kernel can then still keep other files shut."""
    if name == CPU:
        return Opened(None)
    if not cage_limits.can_allow_files():
        return Opened(None, "this kernel has no Landlock, which would keep other files shut")
    files = (*sorted(glob.glob(_DEVICE_FILES)), _DRIVER_FACTS)
    if len(files) == 1:
        return Opened(None, f"there is no {_DEVICE_FILES}")
    log = LibavLog(2)
    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.ERROR)
    try:
        return Opened(Cuda(name), files=files)
    except (av.error.FFmpegError, OSError, NotImplementedError, ValueError) as error:
        said = " ".join(log.text().split())[-200:]
        return Opened(None, f"{error}{': ' if said else ''}{said}")
    finally:
        log.mark()
