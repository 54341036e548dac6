"""NVIDIA's decoder, as libav drives it. No library of the driver is touched before one is asked for.

PyAV's wheels are built with it and load libcuda and libnvcuvid of the host's driver when a device is opened.
"""

from __future__ import annotations

import ctypes
import glob
import os
from collections.abc import Sequence

import av.error
import av.logging
from av.codec import Codec
from av.codec.hwaccel import HWAccel, HWDeviceType

from pipeline import cage_limits
from pipeline.container import OpenVideo
from pipeline.decoder import Decoder
from pipeline.decoder_choice import CPU
from pipeline.libav_log import LibavLog

_STANDARD_ERROR = 2
#: the second is what libav has decode, by way of the first
_LIBRARIES = ("libcuda.so.1", "libnvcuvid.so.1")
_DEVICES = "/dev/nvidia*"
#: what the driver reads about itself and the machine
_FACTS = (
    "/proc/driver/nvidia", "/proc/devices", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices",
    "/sys/bus/pci",
)  # fmt: skip


class Cuda:
    """One GPU's decoder; implements ``acceleration.Device``."""

    def __init__(self, name: str) -> None:
        """Open ``cuda`` or ``cuda:<n>``. Raises: av.error.FFmpegError, OSError, NotImplementedError, ValueError."""
        self.name = name
        number = name.partition(":")[2] or None
        self.accel: HWAccel | None = HWAccel("cuda", number, allow_software_fallback=False, is_hw_owned=True)
        self._held = self.accel.create(Codec("h264", "r"))  # for life: later decoders share its context

    def decoder(self, video: OpenVideo) -> Decoder | None:
        """Return what decodes this video's packets there; None where libav's decoder of them knows no CUDA."""
        context = video.stream.codec_context
        kinds = [config.device_type for config in context.codec.hardware_configs if config.is_supported]
        return context if HWDeviceType.cuda in kinds else None


class Opening:
    """A device on its way: its driver is loaded before the process closes itself off, the device opened after.

    Opening starts threads of the driver's, and what a process gives up is given up by threads that start later alone.
    """

    def __init__(self, name: str) -> None:
        """Load what ``cuda`` or ``cuda:<n>`` needs; nothing for ``cpu``."""
        self._name = name
        self.device: Cuda | None = None
        #: why there is no device though one was asked for
        self.fault = ""
        #: what the driver must be able to open by name; empty where there will be no device
        self.files: Sequence[str] = ()
        if name != CPU:
            self._load()

    def _load(self) -> None:
        devices = sorted(glob.glob(_DEVICES))
        try:
            self.fault = f"there is no {_DEVICES}" if not devices else ""
            libraries = [ctypes.CDLL(library) for library in _LIBRARIES if not self.fault]
        except OSError as error:
            self.fault = str(error)
        if not self.fault and not cage_limits.can_allow_files():
            self.fault = "this kernel has no Landlock, which would keep other files shut"
        if not self.fault and len(os.listdir("/proc/self/task")) > 1:
            self.fault = "its driver starts threads before it can be confined"
        if not self.fault:
            self._libraries = libraries
            self.files = (*devices, *_FACTS)

    def open(self) -> None:
        """Open the device, or say in ``fault`` why not."""
        if not self.files:
            return
        log = LibavLog(_STANDARD_ERROR)
        av.logging.restore_default_callback()
        av.logging.set_libav_level(av.logging.ERROR)
        try:
            self.device = Cuda(self._name)
        except (av.error.FFmpegError, OSError, NotImplementedError, ValueError) as error:
            self.fault = " ".join(f"{error} {log.text()}".split())[-200:]
        log.mark()
