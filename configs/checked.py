"""Settings that are made in Python, checked as those of a file are."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from wormwood.errors import bad_input

__all__ = ["check_fields"]


def check_fields(settings: object) -> None:
    """Check each field of a frozen dataclass by its type, and keep the value that its type makes of it.

    Call it in ``__post_init__``: settings then are right whether a file or a script made them.

    Raises:
        BadInput: a value is not of its field's type, or out of its bounds.
    """
    kind: Any = type(settings)
    for name, adapter in _adapters(kind).items():
        given = getattr(settings, name)
        try:
            value = adapter.validate_python(given)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join([kind.__name__, name, *(str(part) for part in problem["loc"])])
            choices = [choice for choice in get_args(_hints(kind)[name]) if isinstance(choice, str)]
            raise bad_input("value", where=where, expected=problem["msg"], got=given, nearest_to=choices) from None
        if value is not given:
            object.__setattr__(settings, name, value)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


@cache
def _adapters(kind: type) -> dict[str, TypeAdapter[Any]]:
    return {field.name: TypeAdapter(_hints(kind)[field.name]) for field in dataclasses.fields(kind)}
