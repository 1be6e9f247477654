"""Is everything that reads what others say in the table, and is each of its tests there?"""

import re
from pathlib import Path

import pytest

from tests.fuzz.parsers import OTHERS, PARSERS

PACKAGE = Path(__file__).parents[2] / "src" / "milepost"
_READS = re.compile(
    r"json\.decode\(|json\.Decoder\(|JSONDecoder|msgspec\.convert\(|\.fullmatch\(|\.match\(|finditer\(|urlsplit\(|parse_qsl\("
    r"|ip_address\(|ip_network\(|b64decode\(|fromisoformat\(|from_bytes\(|\.unpack\(|Message\(\)|parsedate|UUID\(|\.loads\("
    r"|unquote|parse_duration\(|from_rfc3339\(|import_key\(|\.partition\("
)
"""What code looks like that reads something."""


def test_all_that_reads_something_is_in_one_of_the_tables() -> None:
    reading = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if _READS.search(path.read_text())
    }
    assert reading - PARSERS.keys() - OTHERS.keys() == set()
    assert OTHERS.keys() - reading == set(), "what reads nothing any more"
    assert not PARSERS.keys() & OTHERS.keys()


@pytest.mark.parametrize("name", PARSERS)
def test_each_is_sent_whatever(name: str) -> None:
    assert (PACKAGE / Path(*name.split("."))).with_suffix(".py").is_file()
    tests = {
        found
        for path in Path(__file__).parent.glob("test_*.py")
        for found in re.findall(r"def (\w+)", path.read_text())
    }
    parser = PARSERS[name]
    assert parser.reads
    assert parser.tests
    assert set(parser.tests) <= tests
