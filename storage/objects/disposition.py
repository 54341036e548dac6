"""The header that makes a browser save an object instead of showing it."""

from __future__ import annotations

from urllib.parse import quote

#: longer names break some file systems and some proxies' header limits
NAME_MAX_CHARACTERS = 200


def attachment(filename: str | None) -> str:
    """Return a Content-Disposition value (RFC 6266) for a client's file name, which may hold anything."""
    if not filename:
        return "attachment"
    name = "".join(c for c in filename if c.isprintable() and c not in '/\\"')[:NAME_MAX_CHARACTERS]
    plain = name.encode("ascii", "replace").decode().replace("?", "_").replace("%", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), safe='')}"
