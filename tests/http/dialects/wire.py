"""What tests of the native dialect send, and how what they see is written."""

import re
from typing import Any

import httpx2
import msgspec

from milepost.task import JsonResult

MICROSECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


async def post(client: httpx2.AsyncClient, body: Any, **headers: str) -> httpx2.Response:
    """The answer to a start; headers are named with underscores."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/v1/tasks", json=body, headers=sent)


def raw(value: Any) -> JsonResult:
    """A result that is this value."""
    encoded = msgspec.json.encode(value)
    return JsonResult(len(encoded), msgspec.Raw(encoded))
