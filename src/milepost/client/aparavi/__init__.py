"""The client that Aparavi's page describes, async and blocking: how does a Python program use that dialect?"""

from milepost.client.aparavi.dtc import AparaviDTC
from milepost.client.aparavi.dtc_async import AsyncAparaviDTC
from milepost.client.aparavi.errors import (
    AparaviError,
    NoTaskStarted,
    TaskNotFound,
    TimedOut,
    Unauthorized,
    Unreachable,
)
from milepost.client.aparavi.methods import Answer

__all__ = [
    "Answer",
    "AparaviDTC",
    "AparaviError",
    "AsyncAparaviDTC",
    "NoTaskStarted",
    "TaskNotFound",
    "TimedOut",
    "Unauthorized",
    "Unreachable",
]
