"""How do lines that a task writes through Python's own `logging` get into its log?"""

import logging
from typing import Final

from milepost.engine.context import current
from milepost.engine.secrecy import hide_secrets
from milepost.engine.text import keepable
from milepost.task import Level

_LEVELS: Final[tuple[tuple[int, Level], ...]] = (
    (logging.CRITICAL, "critical"),
    (logging.ERROR, "error"),
    (logging.WARNING, "warning"),
)


class CaptureHandler(logging.Handler):
    """Hands records on to the task that runs where they are written; elsewhere it does nothing.

    What Milepost itself says meanwhile, of the store for example, is not the task's.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record to the log of the running task, if there is one."""
        context = current.get()
        if context is None or record.name.startswith("milepost."):
            return
        try:
            level: Level = next((name for number, name in _LEVELS if record.levelno >= number), "info")
            fields = {"logger": record.name}
            if record.exc_info:
                fields["exception"] = logging.Formatter().formatException(record.exc_info)
            context.log(self._message(record), level, **fields)
        except Exception:
            self.handleError(record)

    def _message(self, record: logging.LogRecord) -> str:
        """The line, or what of it there is where its arguments do not fit it."""
        try:
            return record.getMessage()
        except Exception:
            self.handleError(record)
            return f"{keepable(record.msg)} (its arguments do not fit it)"


class _AsBefore(logging.Filter):
    """Keeps from a handler what the root logger's `level` kept from it before it was lowered."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self._level = level

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record would have come so far: by its level, or that of a logger below the root."""
        logger: logging.Logger | None = logging.getLogger(record.name)
        while logger is not None and logger.parent is not None:
            if logger.level:
                return True
            logger = logger.parent
        return record.levelno >= self._level


def capture_logging() -> None:
    """Capture from INFO upwards, in this process, from now on. Calling it again changes nothing.

    What the program shows of its own logging stays the same.
    """
    root = logging.getLogger()
    hide_secrets()
    if not root.handlers and logging.lastResort is not None:
        root.addHandler(logging.lastResort)  # it shows warnings only while there is no handler at all
    if not any(isinstance(handler, CaptureHandler) for handler in root.handlers):
        root.addHandler(CaptureHandler(logging.INFO))
    if root.level > logging.INFO or root.level == logging.NOTSET:
        for handler in root.handlers:
            if handler is not logging.lastResort and not isinstance(handler, CaptureHandler):
                handler.addFilter(_AsBefore(root.level))
        root.setLevel(logging.INFO)
