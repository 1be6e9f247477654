"""What does a caller of the native API wish, in the words of the service?"""

import msgspec
from msgspec import UNSET, UnsetType

from milepost.errors import Fault, Invalid
from milepost.http.dialects.native_requests import StartBody, StartLine, TriggerBody, UpdateBody
from milepost.http.faults import sentence
from milepost.service import Wish
from milepost.start import Start
from milepost.task import Counts, Failure, State
from milepost.trigger import Trigger
from milepost.update import Update


def wish(body: StartBody) -> Start:
    """What is to be started. Raises Invalid."""
    given = {name: getattr(body, name) for name in StartBody.__struct_fields__}  # a line of many has more
    given["state"] = None if body.state is None else State(body.state)
    given["trigger"] = None if body.trigger is None else _trigger(body.trigger)
    return Start(**given)


def line_wish(body: StartLine) -> Wish:
    """What a line of many asks for. Raises Invalid."""
    return Wish(wish(body), body.idempotency_key)


def _trigger(body: TriggerBody) -> Trigger:
    try:
        return Trigger(**{name: getattr(body, name) for name in body.__struct_fields__})
    except ValueError as error:
        field, colon, detail = str(error).partition(": ")
        known = colon and field in body.__struct_fields__
        place, detail = (f"/trigger/{field}", detail) if known else ("/trigger", str(error))
        raise Invalid(Fault(sentence(detail), place)) from error


def change(body: UpdateBody) -> Update:
    """What is to be changed."""
    given = {name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not UNSET}
    if not isinstance(body.counts, UnsetType):
        given["counts"] = Counts(**msgspec.structs.asdict(body.counts))
    if not isinstance(body.failure, UnsetType):
        given["failure"] = Failure(body.failure.code, body.failure.message)
    if isinstance(body.metadata, dict):
        given["metadata_patch"] = given.pop("metadata")
    if "result" in given:
        given["result"] = msgspec.Raw(msgspec.json.encode(body.result))
    return Update(**given)
