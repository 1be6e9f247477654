"""Is every test there that the checklists of docs/dialects name?"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "dialects").glob("*.md"))
NAMED = re.compile(r"(tests/[\w/]+\.py)::(\w+)")
PROMISES = "What the page promises"


@cache
def named_in(file: str) -> frozenset[str]:
    """The names of the tests in a file; none where there is no such file."""
    path = ROOT / file
    if not path.exists():
        return frozenset()
    nodes = ast.walk(ast.parse(path.read_bytes()))
    functions = (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(function.name for function in functions if function.name.startswith("test_"))


def missing(text: str) -> list[str]:
    """What a page names and is no test."""
    return [f"{file}::{test}" for file, test in NAMED.findall(text) if test not in named_in(file)]


def bare(text: str) -> Iterator[str]:
    """The lines of a page's checklist that name no test."""
    _, heading, after = text.partition(f"## {PROMISES}\n")
    rows = [line for line in after.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    yield from (row for row in rows[1:] if not NAMED.search(row))
    if heading and len(rows) < 2:
        yield "There is no checklist."


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_names_is_a_test(page: Path) -> None:
    text = page.read_text()
    assert missing(text) == []
    assert list(bare(text)) == []


def test_what_is_none_is_found() -> None:
    here = "tests/docs/test_dialect_checklists.py"
    text = f"`{here}::test_what_is_none_is_found` `{here}::test_nothing` `tests/no_file.py::test_a` `{here}::missing`"
    assert missing(text) == [f"{here}::test_nothing", "tests/no_file.py::test_a", f"{here}::missing"]
    table = f"## {PROMISES}\n\n| the page | the test |\n|---|---|\n| a | `{here}::test_nothing` |\n| b | none |\n\n"
    assert list(bare(f"{table}## More\n\n| c | none |\n")) == ["| b | none |"]
    assert list(bare(f"## {PROMISES}\n\nNothing.\n")) == ["There is no checklist."]
    assert list(bare("## Another\n")) == []
