"""Turns pydantic's errors into problems with line and column, in our words, with the nearest known name; no secrets."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config.document import Document, Path_, dotted
from config.problems import Problem
from config.settings import Settings

_SYNONYMS = {
    "targets": "stores",
    "target": "store",
    "hostname": "host",
    "username": "user",
    "passwd": "password",
    "pass": "password",
    "database": "databases",
    "dbs": "databases",
    "type": "engine",
    "ssl": "tls",
    "uri": "url",
    "columns": "only",
    "anonymize": "mask",
    "soft_delete": "delete_when",
    "shard": "route",
    "filter": "where",
    "renames": "rename",
    "logging": "log",
}
"""Words that people bring from other tools."""

_WORDS = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "dict_type": "must hold keys and values",
    "model_type": "must hold keys and values",
    "model_attributes_type": "must hold keys and values",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "path_type": "must be a path",
}


class Translator:
    """Translates the errors of one document. `references` are the paths whose values came from `${…}`."""

    def __init__(self, document: Document, references: frozenset[Path_]) -> None:
        self._document = document
        self._references = references

    def problems(self, error: ValidationError) -> Iterator[Problem]:
        """One problem per error; the alternatives of a union count as one."""
        seen: set[Path_] = set()
        for details in error.errors(include_url=False, include_context=True):
            path = self._path(details)
            # An unresolved reference was reported already; its text is no value.
            if path in seen or self._unresolved(path) or (details["type"] == "missing" and self._by_url(path)):
                continue
            seen.add(path)
            yield self._problem(details, path)

    @staticmethod
    def unknown_name(document: Document, path: Path_, name: str, what: str, known: Iterable[str]) -> Problem:
        """A problem for a reference to something that is not defined in the file."""
        names = list(known)
        near = difflib.get_close_matches(name, names, 1)
        hint = f"Did you mean `{near[0]}`?" if near else f"Defined: {', '.join(names)}"
        return Problem(document.mark(path), dotted(path), f"{dotted(path)}: no {what} is called `{name}`", hint)

    def _unresolved(self, path: Path_) -> bool:
        return any(problem.key == dotted(path) for problem in self._document.problems)

    def _by_url(self, path: Path_) -> bool:
        """Whether a field of `source` is missing only because its URL was refused."""
        return path[0] == "source" and self._unresolved(("source", "url"))

    def _path(self, details: ErrorDetails) -> Path_:
        """The error's place without the names of union members that pydantic puts behind it."""
        path: Path_ = tuple(details["loc"])
        if details["type"] in ("missing", "extra_forbidden"):
            return path
        while path and path not in self._document.values and path not in self._document.keys:
            path = path[:-1]
        return path

    def _problem(self, details: ErrorDetails, path: Path_) -> Problem:
        kind, where = details["type"], dotted(path)
        if kind == "extra_forbidden":
            return self._unknown_key(path)
        if kind == "missing":
            parent = dotted(path[:-1]) or "the file"
            mark = self._document.mark(path[:-1], key=True)
            return Problem(mark, where, f"{parent} needs the key `{path[-1]}`", _example(path))
        message = _WORDS.get(kind, "")
        hint = ""
        context: dict[str, Any] = details.get("ctx") or {}
        if kind in ("enum", "literal_error"):
            allowed = re.findall(r"'([^']*)'", str(context.get("expected", "")))
            message = f"must be one of {', '.join(allowed)}" if allowed else f"must be {context.get('expected')}"
            near = difflib.get_close_matches(str(details["input"]), allowed, 1)
            hint = f"Did you mean `{near[0]}`?" if near else ""
        elif kind == "tuple_type" and isinstance(details["input"], str) and not self._secret(path):
            hint = f"Write [{details['input']}]"
        elif kind == "string_pattern_mismatch":
            message = f"must match {context.get('pattern')}"
        elif kind == "value_error":
            message = str(context.get("error"))
        elif not message:
            message = details["msg"].replace("Input should be", "must be").replace("Value should", "must")
        if kind not in ("value_error", "string_pattern_mismatch") and not self._secret(path):
            message += _shown(details["input"])
        return Problem(self._document.mark(path), where, f"{where or 'the file'}: {message}", hint)

    def _unknown_key(self, path: Path_) -> Problem:
        key, parent = str(path[-1]), dotted(path[:-1])
        known = _known_keys(Settings, path[:-1])
        near = [_SYNONYMS[key]] if _SYNONYMS.get(key) in known else difflib.get_close_matches(key, known, 1)
        hint = f"Did you mean `{near[0]}`?" if near else f"Known here: {', '.join(known)}"
        place = f" in {parent}" if parent else ""
        return Problem(self._document.mark(path, key=True), dotted(path), f"unknown key `{key}`{place}", hint)

    def _secret(self, path: Path_) -> bool:
        return path in self._references or any(part in ("password", "dsn", "token", "url", "mask_key") for part in path)


def _shown(value: Any) -> str:
    if value is None:
        return ", is empty"
    if isinstance(value, str | int | float | bool) and len(str(value)) <= 60:
        return f", is {value!r}"
    return ""


def _example(path: Path_) -> str:
    examples = {
        "source": "source: {url: 'mysql://USER:PASSWORD@HOST:3306/DATABASE'}",
        "engine": "engine: mysql (or mariadb)",
        "databases": "databases: [shop]",
        "stores": "stores: {main: {dsn: 'postgresql://USER:PASSWORD@HOST/DATABASE'}}",
        "dsn": "dsn: postgresql://USER:PASSWORD@HOST/DATABASE",
        "name": "name: shop",
        "user": "user: crossfade",
    }
    return examples.get(str(path[-1]), "")


def _known_keys(model: type[BaseModel], path: Path_) -> list[str]:
    """The keys that the model at `path` below `model` takes."""
    kind: Any = model
    for part in path:
        kind = _below(kind, part)
    for candidate in _members(kind):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            extra = ["url"] if "databases" in candidate.model_fields else []
            return [field.alias or name for name, field in candidate.model_fields.items()] + extra
    return []


def _members(kind: Any) -> tuple[Any, ...]:
    while get_origin(kind) is typing.Annotated:
        kind = get_args(kind)[0]
    return get_args(kind) if get_origin(kind) in (typing.Union, types.UnionType) else (kind,)


def _below(kind: Any, part: str | int) -> Any:
    for candidate in _members(kind):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            for name, field in candidate.model_fields.items():
                if part == (field.alias or name):
                    return field.annotation
        elif get_origin(candidate) is dict:
            return get_args(candidate)[1]
        elif get_origin(candidate) in (tuple, list):
            return get_args(candidate)[0]
    return None
