"""How do secrets that travel in a URL stay out of a server's access log?"""

import logging
import re
from collections.abc import Collection
from typing import Final
from urllib.parse import unquote_plus

from milepost.http.dialect import RESULTS

ACCESS_LOG: Final = "uvicorn.access"
HIDDEN: Final = "hidden"
"""What stands in a log for a secret."""
_KEY: Final = re.compile(r"mp_[0-9a-f]{16}_[0-9a-f]{64}", re.IGNORECASE)
"""A whole key, wherever somebody has put it."""
_TOKEN: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
"""A token of an issuer (JWT, RFC 7519): its head is a JSON object, in Base64."""


class Redaction(logging.Filter):
    """Hides the values of some query parameters in what is logged of requests, and what follows some paths."""

    def __init__(self, parameters: Collection[str], paths: Collection[str]) -> None:
        super().__init__()
        self._parameters = frozenset(parameters)
        self._paths = tuple(paths)

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; it is logged in any case."""
        if isinstance(record.args, tuple):
            record.args = tuple(self.redacted(said) if isinstance(said, str) else said for said in record.args)
        return True

    def redacted(self, url: str) -> str:
        """A URL, or path with query, without the secrets in it."""
        path, mark, query = url.partition("?")
        for beginning in self._paths:
            place = path.lower().find(beginning)
            end = place + len(beginning)
            path = path[:end] + HIDDEN if place >= 0 and end < len(path) else path
        parts = (part for part in re.split("([&;])", query))
        shown = path + mark + "".join(self._part(part) for part in parts)
        return _TOKEN.sub(HIDDEN, _KEY.sub(HIDDEN, shown))

    def _part(self, part: str) -> str:
        name, sign, _ = part.partition("=")
        meant = unquote_plus(name).strip().removesuffix("[]").lower()
        return f"{name}={HIDDEN}" if sign and meant in self._parameters else part


_SECRETS: Final = Redaction(["token"], [RESULTS])


def hide_secrets() -> None:
    """Keep tokens of tasks and links to results out of the access log of every uvicorn in this process."""
    logging.getLogger(ACCESS_LOG).addFilter(_SECRETS)  # once, however often it is added
