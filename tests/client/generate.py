"""Makes the blocking modules of the client of the async ones: the same code, with other names and without the waiting.

`python -m tests.client.generate` writes them, and says which ones it wrote anew.
"""

import io
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

CLIENT: Final = Path(__file__).parents[2] / "src" / "milepost" / "client"

NAMES: Final[Mapping[str, str]] = {
    "AsyncAparaviDTC": "AparaviDTC",
    "AsyncBaseTransport": "BaseTransport",
    "AsyncHTTPTransport": "HTTPTransport",
    "AsyncSleep": "Sleep",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aclose": "close",
    "aiter_raw": "iter_raw",
    "asyncio": "time",
    "handle_async_request": "handle_request",
}
"""What the blocking world calls it. Strings and comments stay as they are: they hold for both."""

DROPPED: Final = frozenset({"async", "await"})


def sources() -> Iterator[tuple[Path, Path]]:
    """Each async module, and the blocking one that is made of it."""
    for source in sorted(CLIENT.rglob("*_async.py")):
        yield source, source.with_name(source.name.replace("_async", ""))


def blocking(source: Path) -> str:
    """The blocking module's text."""
    lines = source.read_text().splitlines(keepends=True)
    tokens = list(tokenize.generate_tokens(io.StringIO("".join(lines)).readline))
    for token in reversed(tokens):  # from the end, so that places before it still hold
        if token.type == tokenize.NAME and token.string in NAMES.keys() | DROPPED:
            (row, start), end = token.start, token.end[1]
            line = lines[row - 1]
            end += token.string in DROPPED  # with the space after it
            lines[row - 1] = line[:start] + NAMES.get(token.string, "") + line[end:]
    head = f"# Made of {source.name} by scripts/sync: change that one.\n"
    return _ruff("format", _ruff("check", head + "".join(lines), "--quiet", "--fix-only", "--select=I"))


def _ruff(command: str, text: str, *options: str) -> str:
    ruff = [str(Path(sys.executable).with_name("ruff")), command, *options, "--stdin-filename", str(CLIENT / "made.py")]
    return subprocess.run([*ruff, "-"], input=text, capture_output=True, text=True, check=True).stdout


def write() -> None:
    """Write each blocking module that is not as it has to be."""
    for source, target in sources():
        text = blocking(source)
        if not target.exists() or target.read_text() != text:
            target.write_text(text)
            sys.stdout.write(f"{target.relative_to(CLIENT)} is made anew.\n")


if __name__ == "__main__":
    write()
