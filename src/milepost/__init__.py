"""Milepost gives a long-running operation an address."""

from milepost.app import Milepost
from milepost.engine.context import BlockingContext, Context
from milepost.engine.descent import Folder
from milepost.engine.named_paths import NamedPath
from milepost.engine.outcome import File, Parked, TaskError
from milepost.engine.secret import Secret
from milepost.task import Task

__version__ = "0.1.0"

__all__ = [
    "BlockingContext",
    "Context",
    "File",
    "Folder",
    "Milepost",
    "NamedPath",
    "Parked",
    "Secret",
    "Task",
    "TaskError",
    "__version__",
]
