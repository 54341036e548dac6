"""Files that ask whoever opens them to open something else, and a watch that notices if anybody did."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
from pathlib import Path
from types import TracebackType

CANARY = "canary-that-must-not-be-read"
_IN_ACCESS, _IN_OPEN = 0x1, 0x20
_EVENT = struct.Struct("iIII")


class Watch:
    """A file and a port of this machine that nobody has a reason to touch; counts who did."""

    def __init__(self, folder: Path, content: bytes) -> None:
        """content: what stands in the file; a film, so that it could be shown."""
        self.target = folder / "outside.ts"
        self.target.write_bytes(content + CANARY.encode())
        self._listener = socket.create_server(("127.0.0.1", 0))
        libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if libc.inotify_add_watch(self._inotify, bytes(self.target), _IN_ACCESS | _IN_OPEN) < 0:
            raise OSError(ctypes.get_errno(), "no watch could be set")

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        os.close(self._inotify)

    @property
    def address(self) -> str:
        """Where a connection would be counted."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/outside.ts"

    def touches(self) -> int:
        """Return how often the file was opened or read, and the port called, since the last question."""
        count = 0
        try:
            data = os.read(self._inotify, 65536)
        except BlockingIOError:
            data = b""
        place = 0
        while place < len(data):
            place += _EVENT.size + _EVENT.unpack_from(data, place)[3]
            count += 1
        while select.select([self._listener], [], [], 0)[0]:
            self._listener.accept()[0].close()
            count += 1
        return count


def lures(film: bytes, target: Path, address: str) -> dict[str, bytes]:
    """Return file names and contents: every accepted or refused kind of file that can name another.

    film: a sound MP4 whose index stands behind its pictures. target: a file beside the lures. address: a URL.
    """
    made: dict[str, str | bytes] = {}
    for how, name in (("file", str(target)), ("beside", target.name), ("url", f"file://{target}"), ("http", address)):
        made |= {
            f"ffconcat_{how}.mp4": f"ffconcat version 1.0\nfile '{name}'\nduration 4\n",
            f"concat_{how}.ts": f"file '{name}'\nfile '{name}'\n",
            f"playlist_{how}.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{name}\n#EXT-X-ENDLIST\n",
            f"keyed_playlist_{how}.ts": f"#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"{name}\"\n#EXTINF:4,\n{name}\n",
            f"manifest_{how}.webm": _MANIFEST.format(name=name),
            f"picture_{how}.svg": _DRAWING.format(name=name),
            f"drawing_{how}.png": f"push graphic-context\nimage over 0,0 0,0 '{name}'\npop graphic-context\n",
            f"script_{how}.jpg": f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({name}) (r) file showpage\n",
            f"session_{how}.mp4": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nu={name}\nm=video 0 RTP/AVP 96\n",
            f"reference_url_{how}.mp4": _elsewhere(film, b"url ", name.encode() + b"\0"),
            f"reference_alias_{how}.mov": _elsewhere(film, b"alis", _alias(name.encode())),
        }  # fmt: skip
    return {name: text if isinstance(text, bytes) else text.encode() for name, text in made.items()}


_MANIFEST = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" mediaPresentationDuration="PT4S"><Period>'
    '<AdaptationSet mimeType="video/mp2t"><Representation id="1"><BaseURL>{name}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>"
)
_DRAWING = (
    '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY outside SYSTEM "{name}">]>'
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9">'
    '<image xlink:href="{name}" width="9" height="9"/><text>&outside;</text></svg>'
)


def _elsewhere(film: bytes, kind: bytes, name: bytes) -> bytes:
    """Return the film with its data reference pointing elsewhere, as QuickTime allows."""
    place = film.index(b"dref") - 4
    old = int.from_bytes(film[place : place + 4], "big")
    entry = struct.pack(">I4sI", 12 + len(name), kind, 0) + name
    box = struct.pack(">I4sII", 16 + len(entry), b"dref", 0, 1) + entry
    changed = bytearray(film[:place] + box + film[place + old :])
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        at = film.rindex(parent, 0, place) - 4
        size = int.from_bytes(film[at : at + 4], "big") + len(box) - old
        changed[at : at + 4] = size.to_bytes(4, "big")
    return bytes(changed)


def _alias(name: bytes) -> bytes:
    """Return a Mac alias record that names an absolute path."""
    volume, file = b"x", name.rpartition(b"/")[2][:63]
    fixed = struct.pack(">4sHHHB27sIHHIB63s", b"\0\0\0\0", 0, 2, 0, len(volume), volume, 0, 0, 0, 0, len(file), file)
    fixed += bytes(4 + 4 + 4 + 4 + 2 + 2 + 4 + 2 + 10)
    path = name + b"\0" * (len(name) % 2)
    return fixed + struct.pack(">HH", 2, len(name)) + path + struct.pack(">HH", 18, len(name)) + path + b"\xff\xff\0\0"
