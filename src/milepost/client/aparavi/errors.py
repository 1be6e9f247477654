"""What goes wrong between a client and its task, in the words that the product publishes?

Its page on the getTask method has three of them word for word: that nothing was started, that there is no such task,
and that the key is not good. Messages hold neither the key nor a token.
"""


class AparaviError(Exception):
    """Whatever a call came to instead of its answer; `status` is the HTTP status that was answered, if any was."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class NoTaskStarted(AparaviError):
    """The call needs a token, and nothing was started with this client."""

    def __init__(self, message: str = "Token and type are not available. Please run startTask first.") -> None:
        super().__init__(message)


class TaskNotFound(AparaviError):
    """There is no such task: it was never there, was deleted or expired, or is not this key's to see."""


class Unauthorized(AparaviError):
    """The server does not take the key, or wants one."""


class Unreachable(AparaviError):
    """No answer came, after as many tries as could do no harm."""


class TimedOut(Unreachable):
    """The time limit was over first."""
