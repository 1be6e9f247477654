"""Which programs does a test need that Python's registry does not bring, and what if one is not there?

`scripts/clients.sh` installs them, some into `.clients` beside the sources.
"""

import shutil
from pathlib import Path
from typing import Final

import pytest

CLIENTS: Final = Path(__file__).parents[1] / ".clients"
MISSING: Final = "is not installed here, and scripts/clients.sh could not change that"


def require(program: str | Path) -> str:
    """The path of a program, or of a file that was installed for tests. Skips the test, by name, without it."""
    found = shutil.which(program) if isinstance(program, str) else (str(program) if program.exists() else None)
    if found is None:
        pytest.skip(f"{program} {MISSING}")
    return found
