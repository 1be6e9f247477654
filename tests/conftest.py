"""A test that is skipped, or expected to fail, shows nothing: it fails. And none leaves traces in the root logger.

One may be skipped where a program that it needs can't be installed, which `require` says by name; not in CI.
"""

import logging
import os
from collections.abc import Generator
from typing import TypeVar

import pytest

from tests.programs import MISSING

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _failed_if_skipped((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _failed_if_skipped((yield))


def _failed_if_skipped(report: Report) -> Report:
    if report.skipped and ("MILEPOST_CI" in os.environ or MISSING not in str(report.longrepr)):
        report.outcome = "failed"
        report.longrepr = f"Nothing is skipped here: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def root_logger() -> Generator[None, None, None]:
    """A worker that runs in this process has logging captured, from INFO on."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
