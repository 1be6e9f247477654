"""How do a task's secrets stay out of what the program logs while its function runs, wherever that is shown?"""

import logging
from collections.abc import Mapping
from typing import Any

from milepost.engine.context import current
from milepost.engine.veil import Veil, kept


def hide_secrets() -> None:
    """Have records made without the secrets of the running task, in this process, from now on.

    They are made for all loggers and handlers alike, those of others as well. Calling it again changes nothing.
    """
    make = logging.getLogRecordFactory()
    if not isinstance(make, _Factory):
        logging.setLogRecordFactory(_Factory(make))


class _Factory:
    """Makes records as the factory before it does."""

    def __init__(self, make: Any) -> None:
        self._make = make

    def __call__(self, *args: Any, **named: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._make(*args, **named)
        context = current.get()
        # In a thread that a function has started by itself nobody can tell which task it works for.
        for veil in kept() if context is None else [context.veil]:
            if veil:
                _veil(record, veil)
        return record


def _veil(record: logging.LogRecord, veil: Veil) -> None:
    try:
        record.msg, record.args = veil.text(record.getMessage()), None
    except Exception:  # who shows it tells that its arguments do not fit it, and shows these
        record.msg, record.args = veil.text(str(record.msg)), _veiled(record.args, veil)
    if record.exc_info:  # it would be worded by who shows it
        told = logging.Formatter().formatException(record.exc_info)
        record.msg, record.exc_info = f"{record.msg}\n{veil.text(told)}", None


def _veiled(args: Any, veil: Veil) -> Any:
    if isinstance(args, Mapping):
        return {name: veil.text(str(value)) for name, value in args.items()}
    return tuple(veil.text(str(value)) for value in args or ())
