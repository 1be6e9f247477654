"""How do secrets that travel in a query stay out of a server's access log?"""

import logging
from collections.abc import Collection
from typing import Final
from urllib.parse import unquote_plus

ACCESS_LOG: Final = "uvicorn.access"
HIDDEN: Final = "hidden"
"""What stands in a log for a secret."""


class Redaction(logging.Filter):
    """Hides the values of some query parameters in what is logged of requests."""

    def __init__(self, parameters: Collection[str]) -> None:
        super().__init__()
        self._parameters = frozenset(parameters)

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; it is logged in any case."""
        if isinstance(record.args, tuple):
            record.args = tuple(self.redacted(said) if isinstance(said, str) else said for said in record.args)
        return True

    def redacted(self, url: str) -> str:
        """A URL, or path with query, without the secrets in it."""
        path, mark, query = url.partition("?")
        return path + mark + "&".join(self._part(part) for part in query.split("&"))

    def _part(self, part: str) -> str:
        name, sign, _ = part.partition("=")
        return f"{name}={HIDDEN}" if sign and unquote_plus(name) in self._parameters else part


_TOKENS: Final = Redaction(["token"])


def hide_tokens() -> None:
    """Keep tokens of tasks out of the access log of every uvicorn in this process, however often this is called."""
    logging.getLogger(ACCESS_LOG).addFilter(_TOKENS)
