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
_KEY: Final = re.compile(r"(?:mp_)?[0-9a-f]{16}[_:][0-9a-f]{64}", re.IGNORECASE)
"""A whole key, or its id and secret as some dialects take them, wherever somebody has put it."""
_DOTTED: Final = re.compile(r"[\w.-]+", re.ASCII)
"""What a token of an issuer (JWT, RFC 7519) is found in. Each character is looked at once, however long that is."""
_HEAD: Final = "eyJ"
"""Begins such a token: its head is a JSON object, in Base64."""
CREDENTIALS: Final = (
    *("key", "token", "secret", "session", "sessionid", "sid", "password", "passwd", "pwd", "passphrase"),
    *("auth", "authorization", "credential", "credentials", "bearer", "jwt", "signature", "sig"),
)
"""How the names of query parameters end that somebody may show a secret in, though no dialect takes one there."""
_DECODED: Final = 3
"""Times that something is decoded, as proxies and clients may each have encoded it, to see what it hides."""


class Redaction(logging.Filter):
    """Hides the values of some query parameters in what is logged of requests, and what follows some paths.

    And keys and tokens wherever they are. `parameters` are how the names of the former end, in small letters alone.
    """

    def __init__(self, parameters: Collection[str], paths: Collection[str]) -> None:
        super().__init__()
        self._parameters = tuple(parameters)
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
        steps = (HIDDEN if _hides_a_secret(step) else step for step in path.split("/"))
        return _plain("/".join(steps) + mark + "&".join(map(self._pair, query.split("&"))))

    def _pair(self, pair: str) -> str:
        # Some programs part by semicolons; to others these belong to the value, which is hidden as a whole then.
        said = pair.split(";")
        for number, part in enumerate(said):
            name, sign, value = part.partition("=")
            if sign and self._is_secret(name):
                return ";".join([*said[:number], f"{name}={HIDDEN}"])
            if _hides_a_secret(value):
                said[number] = f"{name}={HIDDEN}"
            if _hides_a_secret(name):
                said[number] = HIDDEN
        return ";".join(said)

    def _is_secret(self, name: str) -> bool:
        """Whether a parameter is called like a secret, or ends so: `a[token]`, `accessToken`, `X-Api-Key`."""
        return re.sub("[^a-z]", "", _decoded(name).lower()).endswith(self._parameters)


def _decoded(text: str) -> str:
    for _ in range(_DECODED):
        text = unquote_plus(text)
    return text


def _hides_a_secret(text: str) -> bool:
    """Whether a text that is encoded has a secret in it that does not show as one."""
    if "%" not in text:
        return False
    decoded = _decoded(text)
    return _plain(decoded) != decoded


def _plain(text: str) -> str:
    """A text without the keys and tokens that show in it."""
    return _DOTTED.sub(_without_token, _KEY.sub(HIDDEN, text))


def _without_token(found: re.Match[str]) -> str:
    text = found[0]
    place = text.find(_HEAD)
    return text[:place] + HIDDEN if place >= 0 and text.count(".", place) > 1 else text


_SECRETS: Final = Redaction(CREDENTIALS, [RESULTS])


def hide_secrets() -> None:
    """Keep tokens of tasks and links to results out of the access log of every uvicorn in this process."""
    logging.getLogger(ACCESS_LOG).addFilter(_SECRETS)  # once, however often it is added
