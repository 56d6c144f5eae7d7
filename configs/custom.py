"""Classes of the user's own, named ``module:Class`` where a kind is asked for: found, checked, and their settings read.

A name that stands in a file runs code once it is imported. So whoever reads a file asks ``require_trusted`` first.
"""

from __future__ import annotations

import dataclasses
import filecmp
import functools
import importlib
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol

from pydantic import ConfigDict, TypeAdapter

from wormwood.errors import BadInput, bad_input, nearest

__all__ = [
    "CustomSettings",
    "custom_or",
    "is_custom",
    "kind_of",
    "load_class",
    "load_modules",
    "plain_settings",
    "require_trusted",
    "settings_class",
]


WHERE = "configuration"


def is_custom(name: object) -> bool:
    """Return whether a name is that of a class of the user's, such as ``my_agents:Wave``."""
    return isinstance(name, str) and re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name) is not None


def kind_of(cls: type) -> str:
    """Return the name of a class as configurations have it: the inverse of ``load_class``."""
    return f"{cls.__module__}:{cls.__qualname__}"


def require_trusted(names: Iterable[str], trust: Collection[str], *, where: str) -> None:
    """Check that all that a file names may be imported.

    Args:
        names: ``module:Class`` each, or an environment's ``module:Name-v0``.
        trust: such names, or whole modules, that the user trusts.
        where: the file.

    Raises:
        BadInput: naming the first that is not trusted. Nothing was imported.
    """
    for name in names:
        if name not in trust and name.partition(":")[0] not in trust:
            expected = f"one that you trust: add --trust {name} if you know its code, which runs when it is loaded"
            raise bad_input("code that is not ours", where=where, expected=expected, got=name)


def load_modules(names: Iterable[str], folder: Path | None) -> None:
    """Import the modules of some classes, from a folder where they are in it, whose other modules they may import.

    Raises:
        BadInput: a module is not there, cannot be imported, has the name of another that is loaded already, or is no
            module for classes: a script, or one of Python's own.
    """
    for name in names:
        module = name.partition(":")[0]
        top, is_script = module.partition(".")[0], module.endswith(".__main__")
        if folder is not None and not is_script:
            _load_from(folder.resolve(), top, kind=name)
        if top in sys.stdlib_module_names or is_script:
            expected = "a module of yours, or an installed one: this is a script, or of Python itself"
            raise bad_input(f"module of {name}", where=WHERE, expected=expected, got=module)
        _import(module, folder, kind=name)


def load_class(name: str, *, what: str, needs: Mapping[str, str], where: str = "kind") -> Any:
    """Return a class of the user's.

    Args:
        name: ``module:Class``.
        what: what it is to be, such as ``"agent"``, for error messages.
        needs: methods that it must have, each with its arguments, for error messages.
        where: the setting that names it, for error messages.

    Raises:
        BadInput: the module is not there or cannot be imported, or it has no such class, or one without these methods.
    """
    module_name, _, class_name = name.partition(":")
    module = _import(module_name, None, kind=name)
    cls = getattr(module, class_name, None)
    if not isinstance(cls, type):
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        close = nearest(class_name, classes)
        expected = f"a class of {getattr(module, '__file__', module_name)}" + (
            f" (nearest: {close!r})" if close else ""
        )
        raise bad_input(f"{what} {name}", where=where, expected=expected, got=class_name)
    missing = [f"{method}{needs[method]}" for method in needs if not callable(getattr(cls, method, None))]
    if missing:
        expected = f"a class with the methods {', '.join(method + needs[method] for method in needs)}"
        raise bad_input(f"{what} {name}", where=where, expected=expected, got=f"none of {', '.join(missing)}")
    return cls


def _import(module: str, folder: Path | None, *, kind: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # It may be there, and lack a module that it imports.
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            here = folder or Path()
            expected = f"a module that can be imported, such as {module.partition('.')[0]}.py in {here.resolve()}"
            neighbours = [path.stem for path in here.glob("*.py")]
            raise bad_input(
                f"module of {kind}", where=WHERE, expected=expected, got=module, nearest_to=neighbours
            ) from None
        raise _failed(module, kind, error) from error
    except BadInput:
        raise
    except (Exception, SystemExit) as error:
        raise _failed(module, kind, error) from error


def _failed(module: str, kind: str, error: BaseException) -> BadInput:
    """Say in one line what went wrong in a module of the user's, and in which line of it."""
    last, traceback = "", error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if not file.startswith("<frozen") and file != __file__:
            last = f" ({Path(file).name}, line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    is_circle = isinstance(error, ImportError) and error.name == module and not isinstance(error, ModuleNotFoundError)
    circle = f"; modules that {module} imports may not import it (circular import)" if is_circle else ""
    got = f"{type(error).__name__}: {' '.join(str(error).split())}{last}{circle}"
    return BadInput(f"module of {kind} in {WHERE}: expected {module} to be imported without errors, got {got}")


def _load_from(folder: Path, top: str, *, kind: str) -> None:
    """Import a top-level module from a folder, if it is in it, and let its own imports find its neighbours."""
    spec = PathFinder.find_spec(top, [str(folder)])
    if spec is None or spec.origin is None:
        return
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # behind all others: a neighbour called random.py hides nothing
    loaded = sys.modules.get(top)
    if loaded is not None:
        origin = getattr(loaded, "__file__", None)
        # A copy of the same source, as workers get it, is the same module.
        is_same = origin is not None and Path(origin).is_file() and filecmp.cmp(origin, spec.origin, shallow=False)
        if not is_same:
            expected = f"another name for {spec.origin}: {top} is loaded already, from {origin or 'Python itself'}"
            raise bad_input(f"module of {kind}", where=WHERE, expected=expected, got=top)
        return
    module = module_from_spec(spec)
    sys.modules[top] = module
    try:
        assert spec.loader is not None
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[top]
        if isinstance(error, Exception | SystemExit):
            raise _failed(top, kind, error) from error
        raise


@functools.cache
def settings_class(cls: type) -> Any:
    """Return the settings of a class of the user's: its frozen dataclass ``Settings``, if it has one, and its kind.

    Raises:
        BadInput: its ``Settings`` are no frozen dataclass, or have a field that is called ``kind``.
    """
    kind, settings = kind_of(cls), getattr(cls, "Settings", None)
    if settings is not None:
        params = getattr(settings, "__dataclass_params__", None)
        if params is None or not params.frozen:
            raise bad_input(f"Settings of {kind}", where="kind", expected="a frozen dataclass", got=settings)
        if "kind" in settings.__dataclass_fields__:
            raise bad_input(f"Settings of {kind}", where="kind", expected="fields of other names", got="kind")
    field = ("kind", Literal[kind], dataclasses.field(default=kind, kw_only=True))
    namespace = {
        "__module__": cls.__module__,
        "__pydantic_config__": ConfigDict(extra="forbid"),
        # Pickled by the class that it belongs to: nobody finds it under its own name.
        "__reduce__": lambda self: (_restored, (cls, vars(self).copy())),
    }
    bases: tuple[type, ...] = () if settings is None else (settings,)
    return dataclasses.make_dataclass(f"{cls.__name__}Settings", [field], bases=bases, namespace=namespace, frozen=True)


class CustomSettings(Protocol):
    """Settings of a class of the user's."""

    @property
    def kind(self) -> str:
        """``module:Class``."""


def custom_or(find: Callable[[str], type]) -> Callable[[Any, Any], Any]:
    """Return a validator for pydantic that reads settings whose ``kind`` is ``module:Class``, and leaves others alone.

    Args:
        find: returns the class, or raises ``BadInput``.
    """

    def validate(value: Any, others: Callable[[Any], Any]) -> Any:
        kind = value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", None)
        if not is_custom(kind):
            return others(value)
        assert isinstance(kind, str)
        return TypeAdapter(settings_class(find(kind))).validate_python(value)

    return validate


def plain_settings(settings: Any) -> dict[str, Any]:
    """Return the fields of any settings in plain values, their ``kind`` first."""
    values = dataclasses.asdict(settings)
    return {"kind": values.pop("kind"), **values}


def _restored(cls: type, values: dict[str, Any]) -> Any:
    return settings_class(cls)(**values)
