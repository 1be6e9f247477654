"""Which SQL does the store run?

Every statement stands in a `.sql` file of the folder `sql`, under a line `-- name: …` and a line that says what it is
for. `{other}` in a statement stands for the text of the statement of that name.
"""

import re
from collections.abc import Mapping
from importlib import resources
from typing import Final

_HEAD: Final = re.compile(r"^-- name: (\w+)\n((?:--.*\n)+)", re.MULTILINE)
_PART: Final = re.compile(r"\{(\w+)\}")


def parse(text: str) -> dict[str, str]:
    """The statements of one file by name. Raises ValueError where one has no purpose, or the same name as another."""
    pieces = _HEAD.split(text)
    if pieces[0].strip():
        raise ValueError(f"not under a name and a purpose: {pieces[0].strip()!r:.60}")
    named: dict[str, str] = {}
    for name, statement in zip(pieces[1::3], pieces[3::3], strict=True):
        if name in named or "-- name:" in statement:
            raise ValueError(f"the name is taken, or what follows has no purpose: {name}")
        named[name] = statement.strip()
    return named


def expand(statements: Mapping[str, str]) -> dict[str, str]:
    """The statements with their parts put in. Raises KeyError for a part that there is none of."""

    def whole(name: str) -> str:
        return _PART.sub(lambda part: whole(part[1]), statements[name])

    return {name: whole(name) for name in statements}


def _load() -> dict[str, str]:
    folder = resources.files(__package__) / "sql"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return expand(parse("\n".join(file.read_text("utf-8") for file in files)))


SQL: Final[Mapping[str, str]] = _load()
"""Every statement by its name."""
