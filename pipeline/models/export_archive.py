"""Archives of torch.export (``.pt2``), cut down to what is certainly data before torch reads them.

``torch.export.load`` trusts its file: pickled weights and sample inputs, operators looked up by any dotted name below
``torch``, and expressions that sympy evaluates would all run code of the file's maker (its own page: "never load data
from an untrusted source"). So an archive is read here first, every name in it is compared with what an export of plain
tensor operations holds, and torch is given a new archive of only that: no pickle, no samples, no source notes.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pipeline.errors import ModelError
from pipeline.models.archives import copy_member, judged

#: a graph description larger than this is refused; a network of 1,000 layers has about 5 MB
MAX_GRAPH_BYTES = 64 * 1024**2
MAX_MEMBERS = 20_000

_KEPT = re.compile(
    r"archive_format|archive_version|byteorder|\.data/(version|serialization_id)|models/model\.json"
    r"|data/(weights|constants)/model_(weights|constants)_config\.json"
    r"|data/weights/weight_[0-9]+|data/constants/tensor_[0-9]+"
)
_DROPPED = re.compile(r"data/sample_inputs/model\.pt")
_CONFIG = re.compile(r"data/(weights|constants)/model_(weights|constants)_config\.json")
_PAYLOAD = re.compile(r"weight_[0-9]+|tensor_[0-9]+")
#: tensor operators of ATen and the arithmetic of sizes; nothing that calls, loads or prints
_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims)\.[a-z_][a-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*"
    r"|_operator\.(add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_|getitem)"
    r"|torch\.sym_(max|min|ite|not|float|int)|math\.(ceil|floor|trunc)"
)
#: operators of ATen that reach out of tensors
_FORBIDDEN = re.compile(r"torch\.ops\.aten\.(from_file|_print|_assert_async|record_stream|set_).*")
_NAME = re.compile(r"[A-Za-z0-9_.\-]{0,300}")
_VERSION = re.compile(r"[A-Za-z0-9_.+\-]{0,100}")
_TEXT = re.compile(r"[A-Za-z0-9_.,:;+\-*/ <>()=\[\]]{0,300}")
#: what expressions of sizes are made of, besides the sizes themselves: s0, u1 ...
_WORDS = frozenset(
    {"Symbol", "Integer", "positive", "integer", "nonnegative", "True", "False", "Max", "Min", "Mod", "PythonMod"}
    | {"FloorDiv", "CleanDiv", "CeilDiv", "CeilToInt", "FloorToInt", "IntTrueDiv", "ToFloat", "TruncToInt"}
    | {"Eq", "Ne", "Gt", "Ge", "Lt", "Le", "And", "Or", "Not", "oo", "int_oo"}
)
_SIZE = re.compile(r"[su][0-9]{1,9}")
_QUOTED_SIZE = re.compile(r"'([su][0-9]{1,9})'")
_NUMBER = re.compile(r"\b[0-9]{1,18}(\.[0-9]{1,18})?\b")
_SIGNS = re.compile(r"[-+*/(),=<>&|~ ]*")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TREE_TYPES = frozenset({None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"})


def write_checked(source: Path, target: IO[bytes], name: str) -> None:
    """Write to ``target`` an archive of only those parts of ``source`` that are certainly data.

    name: of the model, for messages. Raises: ModelError.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            members = _members(archive, source, name)
            with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as copy:
                for inner, info in members.items():
                    _copy(archive, info, inner, copy)
                copy.writestr("model/data/sample_inputs/model.pt", b"")  # torch asks for it, and takes none
        target.flush()
    except (OSError, zipfile.BadZipFile, ValueError, RecursionError, EOFError, NotImplementedError) as error:
        raise judged(error, _refused(name, f"{source.name} is not an archive of torch.export: {error}")) from error


def _members(archive: zipfile.ZipFile, source: Path, name: str) -> dict[str, zipfile.ZipInfo]:
    """Return the members to keep by their name inside the archive's folder."""
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise _refused(name, f"the archive has {len(infos)} members")
    if sum(info.file_size for info in infos) > source.stat().st_size:
        raise _refused(name, "the archive is compressed; torch.export writes none such")
    kept: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        inner = info.filename.partition("/")[2]
        if inner in kept:
            raise _refused(name, f"{inner} is in the archive twice")
        if _KEPT.fullmatch(inner):
            kept[inner] = info
        elif not _DROPPED.fullmatch(inner):
            raise _refused(name, f"{inner or info.filename!r} does not belong into a model of plain tensors")
    if "models/model.json" not in kept:
        raise _refused(name, "there is no models/model.json in the archive")
    return kept


def _copy(archive: zipfile.ZipFile, info: zipfile.ZipInfo, inner: str, copy: zipfile.ZipFile) -> None:
    if inner.endswith(".json"):
        if info.file_size > MAX_GRAPH_BYTES:
            raise ValueError(f"{inner} has {info.file_size} bytes")
        document = json.loads(archive.read(info))
        checked = _checked_config(document) if _CONFIG.fullmatch(inner) else _checked_graph(document)
        copy.writestr(f"model/{inner}", json.dumps(checked))
        return
    copy_member(archive, info, copy, inner)


def _checked_config(document: Any) -> Any:
    """Return a list of weights of which none is pickled. Raises: ValueError."""
    for entry, facts in document["config"].items():
        if facts.get("use_pickle") is not False or not _PAYLOAD.fullmatch(facts["path_name"]):
            raise ValueError(f"{entry} is not plain data")
        _match(_NAME, entry)
    return document


def _checked_graph(document: Any) -> Any:
    """Return the graph without its notes on sources, every name in it checked. Raises: ValueError."""
    for node in _graph_nodes(document):
        node["metadata"] = {}
    for key, value in _strings(document):
        _check_string(key, value)
    return document


def _graph_nodes(document: Any) -> Iterator[dict[str, Any]]:
    if isinstance(document, dict):
        if "target" in document and "metadata" in document:
            yield document
        for value in document.values():
            yield from _graph_nodes(value)
    elif isinstance(document, list):
        for value in document:
            yield from _graph_nodes(value)


def _strings(document: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every string of a document with the key it is under; keys themselves come with the key ``name``."""
    if isinstance(document, dict):
        for inner, value in document.items():
            yield "name", inner
            yield from _strings(value, inner)
    elif isinstance(document, list):
        for value in document:
            yield from _strings(value, key)
    elif isinstance(document, str):
        yield key, document


def _check_string(key: str, value: str) -> None:
    if key in {"target", "as_operator"}:
        if not _OPERATOR.fullmatch(value) or _FORBIDDEN.fullmatch(value):
            raise ValueError(f"the operator {value[:100]!r} is not one of plain tensors")
    elif key == "expr_str":
        _check_expression(value)
    elif key == "torch_version":
        _match(_VERSION, value)
    elif key in {"in_spec", "out_spec"}:
        _check_tree(json.loads(value) if value else None)
    else:
        _match(_TEXT if key == "as_string" else _NAME, value)


def _check_expression(value: str) -> None:
    """Raise ValueError unless an expression, which sympy evaluates as code, is arithmetic of sizes and small powers."""
    plain = _QUOTED_SIZE.sub(r"\1", value)
    words = _WORD.findall(plain)
    rest = _NUMBER.sub("", _WORD.sub("", plain))
    known = all(word in _WORDS or _SIZE.fullmatch(word) for word in words)
    if len(value) > 2000 or not known or not _SIGNS.fullmatch(rest) or value.count("**") > 3:
        raise ValueError(f"the expression {value[:100]!r} is not one of sizes")
    if re.search(r"\*\*(?! ?[0-9]\b)|\*\* ?[0-9] ?\*\*", plain):
        raise ValueError(f"the expression {value[:100]!r} has too high a power")


def _check_tree(spec: Any) -> None:
    """Raise ValueError unless inputs and outputs are made of tuples, lists and dicts of tensors."""
    if isinstance(spec, list):
        for part in spec:
            _check_tree(part)
    elif isinstance(spec, dict):
        if spec.get("type") not in _TREE_TYPES:
            raise ValueError(f"inputs or outputs of type {str(spec.get('type'))[:100]!r}")
        _check_tree(spec.get("children_spec"))


def _match(pattern: re.Pattern[str], value: str) -> None:
    if not pattern.fullmatch(value):
        raise ValueError(f"{value[:100]!r} is no name in an export of plain tensors")


def _refused(name: str, why: str) -> ModelError:
    return ModelError(
        f"{name}: {why}",
        advice="Save it with torch.export.save(torch.export.export(module, inputs), path), all weights in the module.",
    )
