"""What does somebody who creates a task in the Services API wish, in the words of the service?"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, get_args

from milepost.errors import Fault, Invalid
from milepost.http.dialects.services_shapes import CreateBody
from milepost.start import Start
from milepost.times import EARLIEST, LATEST, from_datetime
from milepost.trigger import Repeat, Trigger

KEPT: Final = "services"
"""The member of a record's metadata that keeps `target` and `trigger` as they were sent."""


def wish(body: CreateBody, tenant: str) -> Start:
    """What is to be started. Raises Invalid."""
    sent = body.trigger or {}
    once = _once(sent.get("once"))
    repeat = _repeat(sent.get("repeat"))
    action = body.target.get("action")
    if not isinstance(action, str):
        raise Invalid(Fault("This is required, and names what is to be done.", "/target/action"))
    campaign = campaign_of(body.target)
    trigger = None
    if repeat is not None:
        trigger = Trigger(repeat=repeat)
    elif once is not None:
        trigger = Trigger(once=once)
    return Start(
        type=type_of(action),
        input={name: value for name, value in body.target.items() if name != "action"},
        tenant=tenant,
        title=body.desc,
        debug=body.debug or None,
        trigger=trigger,
        run_at=once,
        list_id=None if campaign is None else list_of(campaign),
        metadata={KEPT: {"target": body.target, "trigger": sent}},
    )


def type_of(action: str) -> str:
    """The task type that an action names: its words are joined, as in `bulk-issue-rewards`."""
    return action.replace(" ", "-")


def list_of(campaign: int) -> str:
    """The list that the tasks of a campaign are in, by which they are found."""
    return f"campaign-{campaign}"


def campaign_of(target: Mapping[str, Any]) -> int | None:
    """The campaign that a target is about, if any."""
    campaign = target.get("campaign")
    if isinstance(campaign, str) and campaign.isascii() and campaign.isdecimal() and len(campaign) <= 18:
        return int(campaign)
    return campaign if type(campaign) is int else None


def _once(said: Any) -> int | None:
    """The time in µs; UTC where no offset says otherwise."""
    if said is None:
        return None
    try:
        moment = datetime.fromisoformat(said)
        time = from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (TypeError, ValueError) as error:
        raise Invalid(
            Fault("Expected an ISO 8601 date and time, like 2026-05-26T12:00:00Z.", "/trigger/once")
        ) from error
    if not EARLIEST <= time <= LATEST:
        raise Invalid(Fault("Of the years 1 to 9999.", "/trigger/once"))
    return time


def _repeat(said: Any) -> Repeat | None:
    if said is None:
        return None
    for repeat in get_args(Repeat):
        if said == repeat:
            found: Repeat = repeat
            return found
    raise Invalid(Fault(f"Expected one of {', '.join(get_args(Repeat))}.", "/trigger/repeat"))
