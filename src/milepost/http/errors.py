"""What can HTTP itself refuse, before or after the service has its say?

These join the errors of `milepost.errors`, so that a dialect words them like every other.
"""

from collections.abc import Sequence
from typing import Final

from milepost.errors import ServiceError

NO_SUCH_PATH: Final = "There is nothing at this path."
"""What is said of a path that there is not, whoever asks; a dialect may tell it from a task that there is not."""


class MethodNotAllowed(ServiceError):
    """The path is there, not with this method; `allowed` are those that it has."""

    code = "method-not-allowed"
    title = "This path does not take this method"

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        self.allowed = tuple(allowed)
        super().__init__(f"This path does not take {method}, but {', '.join(allowed)}.")


class UnsupportedMediaType(ServiceError):
    """The body is of another media type than the operation takes; `accepted` are those that it does."""

    code = "unsupported-media-type"
    title = "This media type is not taken here"

    def __init__(self, detail: str, accepted: Sequence[str] = ()) -> None:
        self.accepted = tuple(accepted)
        super().__init__(detail)


class TooSlow(ServiceError):
    """The client holds back what it announced."""

    code = "request-timeout"
    title = "The request came too slowly"

    def __init__(self) -> None:
        super().__init__("The rest of the body did not come in time.")


class RangeNotSatisfiable(ServiceError):
    """The range begins past the end of the `size` bytes that there are."""

    code = "range-not-satisfiable"
    title = "The range lies outside the result"

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"The result has {size} bytes.")


class Misdirected(ServiceError):
    """The request names a host that this server does not answer for."""

    code = "misdirected-request"
    title = "This server does not answer for that host"


class Internal(ServiceError):
    """Something went wrong here; what it was stands in the server's log."""

    code = "internal-error"
    title = "Something went wrong in the server"

    def __init__(self) -> None:
        super().__init__("The server could not carry this out. Its log says why.")
