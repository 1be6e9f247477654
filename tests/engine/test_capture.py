"""How lines of Python's own logging get into the log of the task that wrote them."""

import asyncio
import contextlib
import contextvars
import io
import logging
import sys
import threading
from collections.abc import Iterator

import pytest

from milepost import Context
from milepost.engine.capture import CaptureHandler, capture_logging
from milepost.engine.context import Place, current
from tests.engine.leases import Book

log = logging.getLogger("shop.orders")


@contextlib.contextmanager
def bare_root() -> Iterator[logging.Logger]:
    """The root logger as a program finds it that has configured nothing."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    root.setLevel(logging.WARNING)
    try:
        yield root
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    with bare_root():
        yield


def captured(write: object) -> list[tuple[str, str, object]]:
    lease = Book().lease()

    def run() -> None:
        current.set(Context(lease, Place("", "")))
        assert callable(write)
        write()

    contextvars.copy_context().run(run)
    report = lease.take()
    return [(entry.message, entry.level, entry.fields) for entry in report.entries] if report else []


def test_levels_from_info_upwards_are_captured() -> None:
    capture_logging()

    def write() -> None:
        for level in (logging.DEBUG, logging.INFO, 25, logging.WARNING, logging.ERROR, logging.CRITICAL, 70):
            log.log(level, "at %d", level)

    fields = {"logger": "shop.orders"}
    assert captured(write) == [
        ("at 20", "info", fields),
        ("at 25", "info", fields),
        ("at 30", "warning", fields),
        ("at 40", "error", fields),
        ("at 50", "critical", fields),
        ("at 70", "critical", fields),
    ]


def test_an_exception_comes_along() -> None:
    capture_logging()

    def write() -> None:
        try:
            raise ValueError("bad row")
        except ValueError:
            log.exception("skipped")

    ((message, level, fields),) = captured(write)
    assert (message, level) == ("skipped", "error")
    assert isinstance(fields, dict)
    assert fields["exception"].startswith("Traceback")
    assert fields["exception"].endswith("ValueError: bad row")


def test_what_milepost_itself_says_is_not_the_tasks() -> None:
    capture_logging()
    assert captured(lambda: logging.getLogger("milepost.engine.worker").error("the store is busy")) == []


def test_outside_a_task_nothing_is_captured() -> None:
    capture_logging()
    lease = Book().lease()
    log.warning("nobody's")
    assert lease.take() is None


async def test_tasks_side_by_side_keep_their_lines_apart() -> None:
    capture_logging()
    leases = {name: Book().lease() for name in "ab"}

    async def work(name: str) -> None:
        current.set(Context(leases[name], Place("", "")))
        for number in range(3):
            log.info("%s%d", name, number)
            await asyncio.sleep(0)
        await asyncio.to_thread(log.info, "%s in a thread", name)

    await asyncio.gather(*map(work, "ab"))
    for name, lease in leases.items():
        report = lease.take()
        assert report is not None
        assert [entry.message for entry in report.entries] == [*(f"{name}{n}" for n in range(3)), f"{name} in a thread"]


def test_a_line_that_can_not_be_put_together_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)

    def write() -> None:
        log.info("%d rows", "many")
        log.info("next")

    with bare_root():
        capture_logging()
        assert [message for message, _, _ in captured(write)] == ["%d rows (its arguments do not fit it)", "next"]
    assert "--- Logging error ---" in errors.getvalue()


def test_installing_it_again_changes_nothing() -> None:
    with bare_root() as root:
        capture_logging()
        capture_logging()
        assert [type(handler) for handler in root.handlers].count(CaptureHandler) == 1
        assert root.level == logging.INFO


@pytest.mark.parametrize(("before", "after"), [("DEBUG", "DEBUG"), ("ERROR", "INFO"), ("NOTSET", "INFO")])
def test_the_level_is_lowered_but_not_raised(before: str, after: str) -> None:
    with bare_root() as root:
        root.setLevel(before)
        capture_logging()
        assert logging.getLevelName(root.level) == after


def test_warnings_are_still_shown_where_no_logging_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    with bare_root():
        capture_logging()
        log.warning("disk is nearly full")
        log.info("all is well")
    assert errors.getvalue() == "disk is nearly full\n"


def test_a_program_that_has_configured_it_keeps_its_way() -> None:
    with bare_root() as root:
        root.addHandler(logging.NullHandler())
        capture_logging()
        assert [type(handler) for handler in root.handlers] == [logging.NullHandler, CaptureHandler]


def test_a_program_that_shows_warnings_only_goes_on_to_do_so() -> None:
    shown = io.StringIO()
    chatty = logging.getLogger("shop.chatty")
    with bare_root() as root:
        root.addHandler(logging.StreamHandler(shown))
        capture_logging()
        assert [message for message, _, _ in captured(lambda: log.info("a row"))] == ["a row"]
        logging.getLogger("httpx").info("a request")
        root.info("the root")
        log.warning("a warning")
        chatty.setLevel(logging.DEBUG)
        try:
            chatty.debug("as it was told to")
        finally:
            chatty.setLevel(logging.NOTSET)
    assert shown.getvalue() == "a warning\nas it was told to\n"


def test_plain_threads_of_a_program_belong_to_no_task() -> None:
    capture_logging()

    def write() -> None:
        thread = threading.Thread(target=log.info, args=("elsewhere",))
        thread.start()
        thread.join()

    assert captured(write) == []
