"""Where does a task's function come from, so that another process can find it too?"""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec


class Source(msgspec.Struct, frozen=True):
    """A function's place: its module by name, or by file where no import finds it, and its name therein."""

    module: str
    file: str | None
    name: str


def source_of(function: Callable[..., Any]) -> Source | None:
    """The place of a function; None where no other process could find it (a closure, a method, a lambda, a prompt)."""
    if not function.__qualname__.isidentifier() or function.__name__ != function.__qualname__:
        return None
    module = sys.modules.get(function.__module__)
    # What `python -m` runs is called __main__, but its spec has the name that imports find it by. A script has no spec.
    spec = getattr(module, "__spec__", None)
    if spec is not None and not spec.name.startswith(_PREFIX):
        return Source(spec.name, None, function.__name__)
    file = getattr(module, "__file__", None)
    return None if file is None else Source(function.__module__, str(Path(file).resolve()), function.__name__)


def load(source: Source) -> Callable[..., Any]:
    """The function at a place. Raises whatever its module raises, AttributeError where the name is gone."""
    module = importlib.import_module(source.module) if source.file is None else load_file(Path(source.file))
    return getattr(module, source.name)  # type: ignore[no-any-return]


def load_file(path: Path) -> ModuleType:
    """Run a Python file as a module, once; what lies beside it can be imported from it, as for a script.

    Raises FileNotFoundError, and whatever the file itself raises.
    """
    path = path.resolve(strict=True)
    name = f"{_PREFIX}{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file.")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


_PREFIX = "milepost_file_"
