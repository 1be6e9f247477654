from pathlib import Path

import pytest

from tests.programs import MISSING, require

pytest_plugins = ["pytester"]

SKIPPED = """
import pytest

from tests.programs import require


def test_needs_something():
    require("no-such-program")


def test_skips_for_no_reason():
    pytest.skip("today")
"""


def test_a_program_that_is_there_is_found(tmp_path: Path) -> None:
    assert require("sh").endswith("/sh")
    (tmp_path / "client.js").touch()
    assert require(tmp_path / "client.js") == str(tmp_path / "client.js")


@pytest.mark.parametrize(("in_ci", "skipped", "failed"), [(False, 1, 1), (True, 0, 2)])
def test_what_is_skipped_says_why_and_fails_in_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, in_ci: bool, skipped: int, failed: int
) -> None:
    monkeypatch.delenv("MILEPOST_CI", raising=False)
    if in_ci:
        monkeypatch.setenv("MILEPOST_CI", "1")
    pytester.makeconftest("from tests.conftest import *")
    pytester.makepyfile(SKIPPED)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-ra")
    result.assert_outcomes(skipped=skipped, failed=failed)
    result.stdout.fnmatch_lines([f"*no-such-program {MISSING}*"])
