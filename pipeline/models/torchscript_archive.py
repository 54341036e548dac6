"""TorchScript archives, read so that nothing in them runs or reaches out of tensors before it was looked at.

A TorchScript file is a program. torch runs a part of it while it loads (``__setstate__`` of its classes), and two of
its operators reach the file system: ``torch.save`` writes any file, ``torch.from_file`` maps any, to read and write it.
So an archive is copied first, without what is not needed and with no ``__setstate__`` in its code; then every function
that torch has compiled of it, called or not, is looked through for operators other than those of tensors.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pipeline.errors import ModelError
from pipeline.models.archives import copy_member, judged

#: an archive's tensors are stored as they are; only its code is compressed
MAX_UNPACKED_CODE = 64 * 1024**2

#: run by torch while it loads
_RUN_ON_LOAD = b"__setstate__"
_NAMESPACES = frozenset({"aten", "prim", "quantized"})
#: operators of ATen that reach files, or the memory of others
_FORBIDDEN = frozenset({"aten::from_file", "aten::save", "aten::set_"})


def write_checked(source: Path, target: IO[bytes], name: str) -> None:
    """Write to ``target`` a copy of an archive of which nothing runs while torch loads it.

    name: of the model, for messages. Raises: ModelError; a pickled module would be code, not weights.
    """
    try:
        with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as copy:
            for inner, info in _members(archive, source, name).items():
                if inner.startswith("code/") and _RUN_ON_LOAD in archive.read(info):
                    raise ModelError(f"{name}: {inner} has a __setstate__, which torch would run while it loads")
                copy_member(archive, info, copy, inner)
        target.flush()
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, zlib.error) as error:
        raise judged(error, ModelError(f"{name}: {source.name} is not a TorchScript archive")) from error


def load_checked(torch: Any, checked: IO[bytes], device: str, name: str) -> Any:
    """Return the module of what ``write_checked`` wrote to a file. Raises: ModelError, and what torch raises."""
    path = f"/proc/self/fd/{checked.fileno()}"
    compiled = torch._C.CompilationUnit()  # as torch.jit.load, which does not hand it out
    module = torch._C.import_ir_module(compiled, path, torch.device(device), {}, False)
    refused = sorted({kind for kind in _operators(compiled) if _reaches_out(kind)})
    if refused:
        raise ModelError(
            f"{name}: the program calls {', '.join(refused[:5])}, not only operators of tensors",
            advice="Export it as ONNX, or trace the network alone.",
        )
    return torch.jit._recursive.wrap_cpp_module(module)


def _members(archive: zipfile.ZipFile, source: Path, name: str) -> dict[str, zipfile.ZipInfo]:
    """Return the members to keep by their name inside the archive's folder."""
    infos = archive.infolist()
    unpacked = sum(info.file_size for info in infos)
    if unpacked > source.stat().st_size + MAX_UNPACKED_CODE:
        raise ModelError(f"{name}: {source.name} unpacks to {unpacked} bytes; TorchScript compresses only code")
    kept: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        inner = info.filename.partition("/")[2]
        if inner in kept:
            raise ModelError(f"{name}: {inner} is in the archive twice")
        if not inner.endswith(".debug_pkl"):
            kept[inner] = info
    if "constants.pkl" not in kept or not any(inner.startswith("code/") for inner in kept):
        raise ModelError(
            f"{name}: {source.name} is not a TorchScript archive",
            advice="Save it with torch.jit.save(torch.jit.script(module)) or torch.jit.trace.",
        )
    return kept


def _reaches_out(kind: str) -> bool:
    return kind in _FORBIDDEN or kind.partition("::")[0] not in _NAMESPACES


def _operators(compiled: Any) -> Iterator[str]:
    """Yield the operators of all functions; looking at one may compile others, which are looked at then."""
    seen: set[str] = set()
    while new := [one for one in compiled.get_functions() if one.qualified_name not in seen]:
        for function in new:
            seen.add(function.qualified_name)
            yield from _of_graph(function.graph)


def _of_graph(graph: Any) -> Iterator[str]:
    for node in graph.nodes():
        yield node.kind()
        for block in node.blocks():
            yield from _of_graph(block)
        for attribute in node.attributeNames():
            if node.kindOf(attribute) == "g":
                yield from _of_graph(node.g(attribute))
