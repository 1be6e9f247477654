"""How do the server's and the worker's own logs look?

Whatever callers name, and tasks log, can be in them. On a terminal its control characters are made visible, and no line
of it begins where those of the log begin; in JSON they are escapes.
"""

import io
import logging
import sys
import textwrap
from typing import Any, Final

import structlog

from milepost.cli.terminal import BENEATH, on_one_line, printable


def configure(level: str) -> None:
    """Send what is logged, from `level` up, to stderr: readable on a terminal, else one JSON object a line."""
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    if sys.stderr.isatty():
        last: list[structlog.types.Processor] = [
            _visible,
            structlog.dev.ConsoleRenderer(exception_formatter=_traceback),
        ]
    else:
        last = [structlog.processors.format_exc_info, _json]
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    # The handler decides what is shown: what tasks log from `info` up belongs to their own logs whatever is shown here.
    number = logging.getLevelNamesMapping()[level.upper()]
    handler.setLevel(number)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(min(number, logging.INFO))
    logging.getLogger("uvicorn").setLevel(number if level == "debug" else logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _visible(_: Any, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """For a person: what is said, and each detail of it, does nothing to a terminal or to other lines."""
    said = event.pop("event", "")
    details = {on_one_line(str(name)): _shown(value) for name, value in event.items()}
    return {**details, "event": printable(str(said)).replace("\n", f"\n{BENEATH}")}


def _shown(value: Any) -> Any:
    """Text in one line. What is no text is shown by its repr, which has escapes of its own but for some characters."""
    if isinstance(value, str):
        return on_one_line(value)
    return value if isinstance(value, int | float | tuple) or value is None else on_one_line(repr(value))


def _traceback(stream: Any, exception: Any) -> None:
    """A traceback, whose last line says what somebody may have sent."""
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exception)
    stream.write(textwrap.indent(printable(text.getvalue()), BENEATH))


def _json(logger: Any, name: str, event: structlog.types.EventDict) -> str:
    """JSON in ASCII, without the one control character that JSON lets be."""
    return str(_render(logger, name, event)).replace("\x7f", "\\u007f")


_render: Final = structlog.processors.JSONRenderer()
