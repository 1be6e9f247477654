"""How does a command say that it did not do what was asked?"""

from enum import IntEnum


class Exit(IntEnum):
    """What the exit codes mean; they are part of the command line's contract."""

    DONE = 0
    FAILED = 1
    """The task failed or was cancelled, or its state does not allow what was asked."""
    USAGE = 2
    NOT_FOUND = 3
    """There is no such task, or it is not the caller's."""
    UNREACHABLE = 4
    INTERRUPTED = 130
    """Ctrl-C: 128 and the number of SIGINT, as shells count."""


class CommandError(Exception):
    """Ends a command with a line for people on stderr, and an exit code for programs."""

    def __init__(self, message: str, code: Exit) -> None:
        self.code = code
        super().__init__(message)
