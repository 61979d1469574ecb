"""Reads a YAML 1.2 file into plain values and remembers the line and column of every key and value.

Works on ruamel's node tree, not on constructed objects, so that duplicate keys and all other problems are found in one
pass. Knows nothing of the settings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from config.problems import InvalidConfig, Mark, Problem
from model.errors import ConfigError

Path_: TypeAlias = tuple[str | int, ...]
"""Keys and list indexes from the root to a value."""

_TAG = "tag:yaml.org,2002:"
_INTEGERS = ((re.compile(r"[-+]?[0-9]+"), 10), (re.compile(r"0o[0-7]+"), 8), (re.compile(r"0x[0-9a-fA-F]+"), 16))
_SPECIAL_FLOATS = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}


@dataclass(slots=True)
class Document:
    """A file's values and where each stands."""

    file: Path
    root: dict[str, Any] = field(default_factory=dict)
    keys: dict[Path_, Mark] = field(default_factory=dict)
    """Where each key stands."""
    values: dict[Path_, Mark] = field(default_factory=dict)
    """Where each value begins."""
    problems: list[Problem] = field(default_factory=list)

    def mark(self, path: Path_, *, key: bool = False) -> Mark:
        """Place of the value (or the key) at `path`; of the nearest thing above it when it has none."""
        while path:
            found = (self.keys if key else self.values).get(path) or self.keys.get(path) or self.values.get(path)
            if found is not None:
                return found
            path = path[:-1]
        return Mark(1, 1)

    def complain(self, mark: Mark, path: Path_, message: str, hint: str = "") -> None:
        """Note a problem."""
        self.problems.append(Problem(mark, dotted(path), message, hint))

    def refuse(self) -> None:
        """Raise InvalidConfig when any problem was noted."""
        if self.problems:
            raise InvalidConfig(self.file, self.problems)


def dotted(path: Path_) -> str:
    """`tables.orders.to[0].where`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def read_document(file: Path) -> Document:
    """The file's document; duplicates and unsupported constructs are among its `problems`.

    Raises ConfigError for an unreadable file, InvalidConfig for one that is not a YAML mapping.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"no file {file}", hint="Write one with: crossfade init, or name it with -c FILE") from None
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}", hint="Check the file's permissions.") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        problem = Problem(Mark(line, 1), "", "the file is not UTF-8", "Save it as UTF-8.")
        raise InvalidConfig(file, [problem]) from None
    return parse_document(text, file)


def parse_document(text: str, file: Path) -> Document:
    """As `read_document`, for text that is at hand."""
    document = Document(file)
    try:
        nodes = list(YAML(typ="safe", pure=True).compose_all(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)
        hint = "Quote texts that hold ${…} inside { }." if "${" in text else ""
        problem = Problem(place, "", f"not YAML: {error.problem or error.context}", hint)
        raise InvalidConfig(file, [problem]) from None
    except YAMLError as error:
        raise InvalidConfig(file, [Problem(Mark(1, 1), "", f"not YAML: {error}")]) from None
    if len(nodes) > 1:
        document.complain(_start(nodes[1]), (), "a second YAML document", "One file holds one migration.")
        document.refuse()
    if not nodes or not isinstance(nodes[0], MappingNode):
        place = _start(nodes[0]) if nodes else Mark(1, 1)
        document.complain(place, (), "the file must hold keys and values", "Start from: crossfade init")
        document.refuse()
    document.root = _mapping(document, nodes[0], (), ())
    return document


def _start(node: Node) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)


def _value(document: Document, node: Node, path: Path_, above: tuple[int, ...]) -> Any:
    if node.value != "" or getattr(node, "style", None):
        # A value that is not there (`key:`) would stand on the next line; its key's place is the better one.
        document.values[path] = _start(node)
    if id(node) in above:
        document.complain(_start(node), path, "an alias that holds itself")
        return None
    if isinstance(node, MappingNode):
        return _mapping(document, node, path, (*above, id(node)))
    if isinstance(node, SequenceNode):
        return [_value(document, item, (*path, index), (*above, id(node))) for index, item in enumerate(node.value)]
    return _scalar(document, node, path)


def _mapping(document: Document, node: MappingNode, path: Path_, above: tuple[int, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, ScalarNode):
            document.complain(_start(key_node), path, "a key must be a plain text")
            continue
        key = str(key_node.value)
        if key == "<<" and isinstance(value_node, MappingNode) and id(value_node) not in above:
            merged.update(_mapping(document, value_node, path, (*above, id(value_node))))
            continue
        here = (*path, key)
        if key in found:
            first = document.keys[here]
            document.complain(_start(key_node), here, f"duplicate key `{key}`", f"It is already on line {first.line}.")
            continue
        document.keys[here] = _start(key_node)
        found[key] = _value(document, value_node, here, above)
    return {**merged, **found}


def _scalar(document: Document, node: Node, path: Path_) -> Any:
    text = str(node.value)
    kind = str(node.tag).removeprefix(_TAG)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        for pattern, base in _INTEGERS:
            if pattern.fullmatch(text):
                return int(text.removeprefix("0o"), base)
        return text
    if kind == "float":
        try:
            return float(_SPECIAL_FLOATS.get(text.lower(), text))
        except ValueError:
            return text
    if kind.startswith("!"):
        document.complain(_start(node), path, f"unknown YAML tag {kind}")
    # Dates and other YAML 1.1 types stay the text that was written.
    return text
