"""Settings that are made in Python, checked as those of a file are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from wormwood.errors import BadInput, bad_input

__all__ = ["check_fields", "check_value", "field_types", "key_problem"]


def check_fields(settings: object) -> None:
    """Check each field of a frozen dataclass by its type, and keep the value that its type makes of it.

    Call it in ``__post_init__``: settings then are right whether a file or a script made them.

    Raises:
        BadInput: a value is not of its field's type, or out of its bounds.
    """
    kind: Any = type(settings)
    for name, annotation in field_types(kind).items():
        given = getattr(settings, name)
        value = check_value(given, annotation, where=f"{kind.__name__}.{name}")
        if value is not given:
            object.__setattr__(settings, name, value)


def check_value(given: Any, annotation: Any, *, where: str) -> Any:
    """Check a value by a type with bounds, and return what the type makes of it.

    Args:
        given: the value.
        annotation: such as ``Annotated[int, Field(ge=1)]``.
        where: the name that it was given under.

    Raises:
        BadInput: it is not of the type, or out of its bounds.
    """
    try:
        return _adapter(annotation).validate_python(given)
    except ValidationError as error:
        problem = error.errors()[0]
        inside = ".".join([where, *(str(part) for part in problem["loc"])])
        choices = [choice for choice in get_args(annotation) if isinstance(choice, str)]
        raise bad_input("value", where=inside, expected=problem["msg"], got=given, nearest_to=choices) from None


def key_problem(problem: Mapping[str, Any], key: str, *, where: str, settings: type) -> BadInput | None:
    """Return what to say of a key of a file that is unknown or missing, or None where pydantic found something else.

    Args:
        problem: one of pydantic's findings.
        key: in full, as the file has it.
        where: the file.
        settings: the dataclass that should have the key.
    """
    if problem["type"] == "unexpected_keyword_argument":
        known = [field.name for field in dataclasses.fields(settings)]
        unknown, expected = key.rpartition(".")[2], f"one of {', '.join(known)}"
        return bad_input(f"unknown key {key}", where=where, expected=expected, got=unknown, nearest_to=known)
    if problem["type"] == "missing":
        return bad_input(f"missing key {key}", where=where, expected="a value", got=None)
    return None


@cache
def field_types(kind: type) -> Mapping[str, Any]:
    """Return the type of each field of a dataclass, with its bounds."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)
