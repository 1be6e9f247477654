"""How do the server's and the worker's own logs look?"""

import logging
import sys

import structlog


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
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        ]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
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
