"""What happens when somebody types `milepost`?"""

import sys
from typing import Final

_EXTRA: Final = frozenset({"httpx2", "rich", "structlog", "typer"})
"""Packages that only the `cli` extra brings."""


def main() -> None:
    """The entry point of the command line; ends the process with the command's exit code."""
    try:
        from milepost.cli.main import run
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRA:
            raise
        sys.stderr.write(f"milepost: {package} is not installed. Install it with: pip install 'milepost[cli]'\n")
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))
