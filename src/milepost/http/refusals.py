"""Which refusals can come of any operation, before it is carried out? Its document lists them beside its own answers.

They follow from what it declares: whether it is public, takes a body, changes something.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from milepost.http.dialect import JSON, Answer, Operation, Refusals

_RETRY_AFTER: Final = {"Retry-After": "Seconds after which asking again makes sense."}
_KEY: Final = {"WWW-Authenticate": "How to show one (RFC 9110, section 11.6.1)."}
_ACCEPT: Final = {"Accept": "The media types that are taken."}

_UNREADABLE: Final = "The request can't be read: its query, its body, or a header that is given more than once."
_WRONG: Final = "Something in the request is wrong: a parameter, a header, or a field of the body. It is named."
_TOO_MUCH: Final = "Too much at once: requests, waits, streams, tasks of a tenant, or wrong keys."
_TOO_SLOW: Final = "The body does not come."
_TOO_LARGE: Final = "The body is too large."
_OTHER_TYPE: Final = "The body is of a media type that is not taken here, of another charset than UTF-8, or compressed."
_OPEN: Final = {
    403: "There is no right to this. Where no key is asked for: another machine asks, or a page of another site.",
    421: "Where no key is asked for: the Host is not of this machine.",
}


def refusals(operation: Operation) -> Mapping[int, Answer]:
    """What an operation may be refused with whatever it does, by status; nothing where it does not say how that looks.

    Which is what happens to it in `HttpApp`.
    """
    told = operation.refusals
    return {} if told is None else dict(_refusals(operation, told))


def _refusals(operation: Operation, told: Refusals) -> Iterator[tuple[int, Answer]]:
    def refusal(text: str, headers: Mapping[str, str] | None = None, *, always: bool = False) -> Answer:
        said = headers or {}
        return Answer(text, told.body, media_type=told.media_type, headers=said, certain=tuple(said) if always else ())

    takes_body = operation.body is not None or tuple(operation.media_types) != (JSON,)
    yield 400, refusal(f"{_UNREADABLE} Or: {_WRONG}" if told.invalid == 400 else _UNREADABLE)
    if told.invalid != 400:
        yield told.invalid, refusal(_WRONG)
    for status, text in _OPEN.items():
        yield status, refusal(text)
    if not operation.public:
        yield 401, refusal("No valid key is shown.", _KEY, always=True)
        yield 429, refusal(_TOO_MUCH, _RETRY_AFTER, always=True)
    if takes_body and not operation.lines:  # each line says by itself that it is too large, or does not come
        yield 408, refusal(_TOO_SLOW)
        yield 413, refusal(_TOO_LARGE)
    if takes_body or operation.changes_something:  # a page of any other site could send a form, where there is no body
        yield 415, refusal(_OTHER_TYPE, _ACCEPT)
    yield 503, refusal("The server can't do this at the moment.", _RETRY_AFTER)
