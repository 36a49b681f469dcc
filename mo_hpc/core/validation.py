"""Checking a document against a model, with one clear message where it does not fit.

Documents are validated in pydantic's strict JSON mode: ``true`` is not an epoch count and
``"3"`` is not a number. Unknown keys are errors that name the nearest valid one.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
from pathlib import Path
from textwrap import shorten
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from mo_hpc.core.errors import UserError, unknown_name
from mo_hpc.core.files import read_json

AnyModel = TypeVar("AnyModel", bound=BaseModel)

_JSON_TYPES = {
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a truth value",
    type(None): "null",
}


def validated(model: type[AnyModel], document: Any, *, where: str) -> AnyModel:
    """Validates a document and turns the first complaint into one clear message.

    Args:
        model: The model to validate against.
        document: Plain data (dicts, lists, scalars).
        where: Prefix of the field names in messages, such as ``configs/grid/x.yaml``.

    Raises:
        UserError: If a field is unknown, missing or of the wrong type.
    """
    try:
        return model.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise _first_complaint(model, error, where) from None


def read_validated(model: type[AnyModel], path: Path) -> AnyModel:
    """Reads a JSON file, in one pass where nothing is wrong with it.

    Raises:
        UserError: If it is missing, is not JSON or does not fit the model.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return validated(model, read_json(path), where=str(path))


def _first_complaint(model: type[BaseModel], error: ValidationError, where: str) -> UserError:
    complaint = error.errors()[0]
    path = [str(part) for part in complaint["loc"]]
    field = ".".join(part for part in path if part != "[key]")
    place = ": ".join(part for part in (where, field) if part) or None
    if complaint["type"] == "extra_forbidden":
        valid = _fields_at(model, path[:-1])
        problem = unknown_name("key", field, [".".join([*path[:-1], name]) for name in valid])
        return UserError(problem.what, where=place, valid=problem.valid, remedy=problem.remedy)
    if complaint["type"] == "missing":
        return UserError(f"The field '{field}' is missing.", where=place)
    seen = complaint["input"]
    message = complaint["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    message = message.replace("String should", "it should")
    message = re.sub("an object$|a valid dictionary.*$", "a mapping", message)
    message = re.sub("a valid (array|tuple)$", "a list", message)
    choices = re.findall(r"'([^']*)'", str(complaint.get("ctx", {}).get("expected", "")))
    return UserError(
        _what(field, seen, message),
        where=place,
        valid=choices,
        remedy=_remedy(path, seen, choices, wants_list=complaint["type"] == "tuple_type"),
    )


def _what(field: str, seen: Any, message: str) -> str:
    if field:
        # A mapping would fill the message without telling more.
        value = (
            "is not valid" if isinstance(seen, dict) else f"has the value {shorten(repr(seen), 60)}"
        )
        return f"'{field}' {value}: {message}."
    if isinstance(seen, dict):
        return f"The document is not valid: {message}."
    return f"The document is {_JSON_TYPES[type(seen)]}, not an object."


def _remedy(path: list[str], seen: Any, choices: list[str], *, wants_list: bool) -> str | None:
    """What to type; only the leading part of a path that stands for a key can be typed."""
    typed = list(itertools.takewhile(lambda part: not part.isdigit() and part != "[key]", path))
    key = ".".join(typed)
    nearest = difflib.get_close_matches(str(seen), choices, n=1)
    if nearest:
        return f"Did you mean {f'{key}={nearest[0]}' if typed == path else nearest[0]}?"
    if wants_list and typed == path and isinstance(seen, str | int | float):
        return f"Write {key}=[{seen if isinstance(seen, str) else json.dumps(seen)}]."
    return None


def _fields_at(model: type[BaseModel], path: list[str]) -> list[str]:
    """Field names of the model that a path of field names, keys and indices leads to."""
    current: Any = model
    for part in path:
        current = _inside(current, part)
    return list(current.model_fields) if _is_model(current) else []


def _inside(annotation: Any, part: str) -> Any:
    """The type of what lies below a type under a name, key or index; None where nothing does."""
    if _is_model(annotation):
        fields = annotation.model_fields
        return _without_none(fields[part].annotation) if part in fields else None
    arguments = get_args(annotation)
    if get_origin(annotation) is dict:
        return _without_none(arguments[1])
    return _without_none(arguments[0]) if get_origin(annotation) is tuple else None


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    return next(each for each in get_args(annotation) if each is not type(None))


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
