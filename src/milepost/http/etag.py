"""Which version of a record has a client seen: entity tags, and the conditions that name them (RFC 9110, section 13).

A tag says version, dialect and canonical query, since each of them makes another body: `"12-native"`,
`"12-native-include=checkpoint,input"`. The version leads, so that a condition tells it whatever the rest is.
"""

import re
from typing import Any, Final

from starlette.requests import Request

from milepost.errors import Fault, Invalid, PreconditionFailed
from milepost.http.dialect import Call
from milepost.http.headers import header, joined

_TAG: Final = re.compile(r'(?P<weak>W/)?"(?P<text>[^"]*)"')
_TAGS: Final = re.compile(r'[\s,]*(?:(?:W/)?"[^"]*"(?:\s*,[\s,]*|\s*$))+')
_NEVER: Final = -1
"""A version that no record has."""


def etag(version: int, dialect: str, query: str = "") -> str:
    """The tag of a record at a version as a dialect renders it for a query, which is in canonical form."""
    return f'"{version}-{dialect}-{query}"' if query else f'"{version}-{dialect}"'


def is_unchanged(request: Request, tag: str) -> bool:
    """Whether If-None-Match says that the client has this already; compared weakly, as it must be."""
    condition = header(request, b"if-none-match")
    if condition is None:
        return False
    return condition.strip() == "*" or any(f'"{match["text"]}"' == tag for match in _TAG.finditer(condition))


async def expected_version(call: Call[Any, Any], dialect: str, task_id: str) -> int | None:
    """The version of a task that If-Match asks for; None where any will do.

    Raises Invalid when it names none, and PreconditionFailed, or NotFound, when it names several and the record is at
    none of them.
    """
    condition = joined(call.request, b"if-match")
    if condition is None or condition.strip() == "*":
        return None
    if not _TAGS.fullmatch(condition):
        raise Invalid(Fault("This takes the ETag of an answer as it was, in its quotes.", parameter="If-Match"))
    versions = {_version(match["text"], dialect) for match in _TAG.finditer(condition) if not match["weak"]}
    if len(versions) > 1:
        version = (await call.service.get(call.principal, task_id)).version
        if version not in versions:
            raise PreconditionFailed("The task has changed since the versions that If-Match names.")
        return version
    return versions.pop() if versions else _NEVER


def _version(tag: str, dialect: str) -> int:
    version, _, rest = tag.partition("-")
    known = version.isascii() and version.isdecimal() and len(version) <= 18 and f"{rest}-".startswith(f"{dialect}-")
    return int(version) if known else _NEVER
