"""Loads what decoders would otherwise import in the middle of a request, when files are shut off."""

from __future__ import annotations

import importlib
import pkgutil

import av
import PIL

#: modules that print, start something or need a screen
_SKIPPED = frozenset(
    {"av.__main__", "av.datasets", "PIL.__main__", "PIL.report", "PIL.ImageQt", "PIL.ImageTk", "PIL.ImageShow",
     "PIL._tkinter_finder", "PIL._imagingtk"}
)  # fmt: skip
_CODECS = ("ascii", "latin_1", "utf_8", "utf_8_sig", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "cp1252", "cp437")


def preload() -> None:
    """Import every module of the image and video libraries, and the text codecs of their metadata."""
    names = ["numpy.ma", "numpy.lib.recfunctions", *(f"encodings.{codec}" for codec in _CODECS)]
    for package in (av, PIL):
        names += [module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    for name in names:
        if name not in _SKIPPED:
            _import(name)


def _import(name: str) -> None:
    try:
        importlib.import_module(name)
    except ImportError:
        return  # a part for some other system or an optional library
