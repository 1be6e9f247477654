"""Milepost gives a long-running operation an address."""

from milepost.app import Milepost
from milepost.engine.context import BlockingContext, Context
from milepost.engine.outcome import File, Parked, TaskError
from milepost.engine.secret import Secret
from milepost.task import Task

__version__ = "0.1.0"

__all__ = ["BlockingContext", "Context", "File", "Milepost", "Parked", "Secret", "Task", "TaskError", "__version__"]
