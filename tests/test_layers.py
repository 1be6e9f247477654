"""Imports run downward only: the shape of the package as tables, held against every import statement in it."""

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "milepost"

# From the bottom to the top: a module imports its own layer and those before it. A name stands for everything beneath
# it that has no line of its own.
LAYERS = (
    ("errors", "times", "tenant", "url", "network", "own_thread", "file_name"),
    ("trigger",),
    ("task",),
    ("step",),
    ("ending",),
    ("lifecycle",),
    ("dependency", "delivery", "notice", "turns", "webhook", "sealing", "disguise"),
    ("store.refusals", "store.workers", "store.api_keys", "store.callbacks", "store.protocol", "files.protocol"),
    ("signing",),
    ("store", "files", "engine", "access"),
    (
        "start",
        "update",
        "told",
        "reopening",
        "results",
        "fleeting",
        "starts",
        "tenants",
        "key_management",
        "callbacks",
        "webhook_management",
        "service",
        "wish",
        "children",
        "intake",
    ),
    ("http", "cli", "client", "app", "calling", "milepost", "__main__"),
)


class Apart(NamedTuple):
    """What these do not import although their layer would let them."""

    who: tuple[str, ...]
    what: tuple[str, ...]
    but: tuple[str, ...] = ()


APART = (
    # Stores can be exchanged because only their protocols are known.
    Apart(
        (
            "start",
            "update",
            "told",
            "reopening",
            "results",
            "fleeting",
            "starts",
            "tenants",
            "key_management",
            "callbacks",
            "webhook_management",
            "signing",
            "service",
            "children",
            "intake",
            "engine",
            "access",
            "http",
        ),
        ("store", "files"),
        but=(
            "store.protocol",
            "store.refusals",
            "store.workers",
            "store.api_keys",
            "store.callbacks",
            "files.protocol",
        ),
    ),
    # The parts that stand side by side do not lean on each other.
    Apart(("store",), ("files", "engine", "access")),
    Apart(("files",), ("store", "engine", "access")),
    Apart(("engine",), ("access",)),
    Apart(("access",), ("files", "engine")),
    # HTTP reaches the work through the service, and a dialect sees no store at all, not even its words.
    Apart(("http",), ("engine",)),
    Apart(("http.dialects",), ("store", "files", "engine")),
    # A client knows what goes over the wire, and nothing of who answers.
    Apart(("client",), ("store", "files", "engine", "access", "service", "http", "cli", "app")),
)

# Where else a library would be a surprise, in somebody's app that embeds Milepost or as an extra that is not installed.
LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "apsw": ("store.sqlite",),
    "httpx2": ("cli", "client", "access.issuer_keys"),
    "joserfc": ("access.issuer_keys", "access.oidc"),
    "cryptography": ("sealing",),
    "h11": ("engine",),
    "rich": ("cli",),
    "starlette": ("http", "app"),
    "structlog": ("cli",),
    "typer": ("cli",),
    "uvicorn": ("http", "app", "cli"),
}


def test_imports_run_downward_only() -> None:
    assert list(complaints(PACKAGE)) == []


def complaints(package: Path) -> Iterator[str]:
    """Each import that the tables do not allow, and each module that they do not know."""
    modules = {_name(path.relative_to(package)): path for path in sorted(package.rglob("*.py"))}
    for module, path in modules.items():
        if _layer(module) is None:
            yield f"{module} has no place in LAYERS"
            continue
        for line, imported in _imports(module, path, modules.keys()):
            for wrong in _wrong(module, imported):
                yield f"{module}, line {line}: {wrong}"


def _name(path: Path) -> str:
    """A module's name as the tables have it: without the package's own, which stands for its `__init__` only."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "milepost"


def _imports(module: str, path: Path, modules: Collection[str]) -> Iterator[tuple[int, str]]:
    """The line and name of all that a module imports, wherever in it; what is not ours in full."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, _ours(alias.name)) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            full = module if module == "milepost" else f"milepost.{module}"
            package = full if path.name == "__init__.py" else full.rpartition(".")[0]
            source = resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                member = _ours(f"{source}.{alias.name}")
                yield node.lineno, member if member in modules else _ours(source)


def _ours(name: str) -> str:
    """The name of a module of ours as the tables have it; others' names start with a dot."""
    first, _, rest = name.partition(".")
    return f".{name}" if first != "milepost" else rest or "milepost"


def _wrong(module: str, imported: str) -> Iterator[str]:
    if imported.startswith("."):
        library = imported.split(".")[1]
        if library in LIBRARIES and not _within(module, LIBRARIES[library]):
            yield f"{library} is for {', '.join(LIBRARIES[library])}"
        return
    above, own = _layer(imported), _layer(module)
    if above is not None and own is not None and above > own:
        yield f"{imported} is above it"
    for apart in APART:
        if _within(module, apart.who) and _within(imported, apart.what) and not _within(imported, apart.but):
            yield f"{imported} is not for {', '.join(apart.who)}"


def _within(module: str, names: Iterable[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def _layer(module: str) -> int | None:
    """The index of a module's layer, by the longest name in the table that it is beneath."""
    known = {name: index for index, layer in enumerate(LAYERS) for name in layer}
    place = max((name for name in known if _within(module, [name])), key=len, default=None)
    return None if place is None else known[place]


# Whether the rules above can fail: small trees with one thing wrong each.


def tree(folder: Path, files: Mapping[str, str]) -> Path:
    """A package of these modules, and of those that they import."""
    there = ("task", "store/protocol", "store/sqlite/rows", "files/folder", "engine/worker", "service", "app")
    for name, source in (dict.fromkeys(there, "") | dict(files)).items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return folder


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("times", "from milepost.task import Task", "times, line 1: task is above it"),
        ("trigger", "import milepost.task", "trigger, line 1: task is above it"),
        ("task", "import os\n\ndef f():\n    from milepost import app", "task, line 4: app is above it"),
        ("lifecycle", "from milepost.store.protocol import Scope", "lifecycle, line 1: store.protocol is above it"),
        ("store/protocol", "from .sqlite import rows", "store.protocol, line 1: store.sqlite.rows is above it"),
        ("store/sqlite/rows", "from ...service import Service", "store.sqlite.rows, line 1: service is above it"),
        ("access/keys", "from milepost import Milepost", "access.keys, line 1: milepost is above it"),
        ("engine/__init__", "from ..app import Milepost", "engine, line 1: app is above it"),
        ("service", "from milepost.http.dialect import Call", "service, line 1: http.dialect is above it"),
        (
            "service",
            "from milepost.files import folder",
            f"service, line 1: files.folder is not for {', '.join(APART[0].who)}",
        ),
        (
            "engine/worker",
            "from milepost.store.sqlite.rows import record",
            f"engine.worker, line 1: store.sqlite.rows is not for {', '.join(APART[0].who)}",
        ),
        (
            "http/dialects/quant",
            "from milepost.store.protocol import Filter",
            "http.dialects.quant, line 1: store.protocol is not for http.dialects",
        ),
        ("http/app", "import milepost.engine.worker", "http.app, line 1: engine.worker is not for http"),
        ("service", "from starlette.responses import Response", "service, line 1: starlette is for http, app"),
        ("engine/worker", "import uvicorn.config", "engine.worker, line 1: uvicorn is for http, app, cli"),
        ("store/postgres", "import apsw", "store.postgres, line 1: apsw is for store.sqlite"),
        ("client/native", "from milepost.service import Service", "client.native, line 1: service is not for client"),
        ("http/app", "import httpx2 as h", "http.app, line 1: httpx2 is for cli, client, access.issuer_keys"),
        ("app", "from rich import print", "app, line 1: rich is for cli"),
        ("utils", "", "utils has no place in LAYERS"),
    ],
)
def test_what_the_tables_do_not_allow_is_found(tmp_path: Path, module: str, source: str, complaint: str) -> None:
    assert list(complaints(tree(tmp_path, {module: source}))) == [complaint]


def test_what_the_tables_allow_is_let_pass(tmp_path: Path) -> None:
    package = tree(
        tmp_path,
        {
            "__init__": "from .app import Milepost",
            "task": "import msgspec",
            "store/__init__": "from .sqlite import rows",
            "store/sqlite/rows": "import apsw\nfrom milepost.store import protocol\nfrom . import connection",
            "store/sqlite/connection": "from ..protocol import Scope",
            "engine/worker": "from milepost.store.protocol import Claimed",
            "service": "from milepost import task\nfrom milepost.store.protocol import TaskStore",
            "http/dialects/quant": "from milepost.service import Service\nfrom starlette.requests import Request",
            "app": "import uvicorn\nfrom milepost.files.folder import Folder\nfrom milepost.store.sqlite import rows",
            "cli/serve": "import typer, uvicorn\nfrom milepost.app import Milepost",
        },
    )
    assert list(complaints(package)) == []
