"""What do `milepost key add`, `list`, `rotate` and `revoke` do? They act on the store: who may write it may do so."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final, TypeVar

import typer

from milepost import times
from milepost.access.keyring import GRACE, Keyring, Profile, key_id
from milepost.cli import wording
from milepost.cli.exits import CommandError, Exit
from milepost.cli.options import Json, Store, examples
from milepost.cli.secrets import SEEN
from milepost.cli.tables import say_table
from milepost.cli.terminal import note, on_one_line, say, say_json
from milepost.errors import Fault, Invalid, NotFound
from milepost.store.api_keys import ApiKey
from milepost.store.refusals import StoreBusy, StoreFull
from milepost.times import format_duration, parse_duration

T = TypeVar("T")

_ID = "5f0c9d3b7a4e1862"

ADD_EXAMPLES = examples(
    "milepost key add ada --grant acme:user --display-name 'Ada Lovelace'",
    "milepost key add ops --grant acme:admin --grant beta:member --store shop.db",
    "export MILEPOST_KEY=$(milepost key add ci --grant '*:service' --expires 90d)",
)
LIST_EXAMPLES = examples("milepost key list", "milepost key list --json | jq '.keys[] | select(.revoked_at == null)'")
REVOKE_EXAMPLES = examples(f"milepost key revoke {_ID}", f"milepost key revoke {_ID} --store shop.db")

ROTATE_EXAMPLES = examples(
    f"milepost key rotate {_ID}",
    f"export MILEPOST_KEY=$(milepost key rotate {_ID} --grace 1d)",
)

HEADS: Final = ("ID", "NAME", "DISPLAY NAME", "GRANTS", "APARAVI", "CREATED", "LAST USED", "EXPIRES", "REVOKED")

LISTED: Final = "`milepost key list` lists them, by their ids."

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=ADD_EXAMPLES, short_help="Make a key, and print it once.")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is: owns the tasks that it starts.")],
    grants: Annotated[
        list[str],
        typer.Option(
            "--grant",
            metavar="TENANT:ROLE",
            help="The role, user, member or admin, in a tenant; or '*:service'. May be repeated.",
        ),
    ],
    display_name: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What people read in place of the name.")
    ] = None,
    profile: Annotated[
        Profile | None, typer.Option("--aparavi", help="Which of Aparavi's clients words its failures.")
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION|DATE",
            help="When it is refused from: 90d, 2027-01-31 (as it begins, in UTC) or 2027-01-31T12:00:00Z; by default "
            "never.",
        ),
    ] = None,
    store: Store = None,
) -> None:
    """Make a key, and print it alone on stdout: this once, as only a hash of it is kept.

    With the first key the store is closed to who has none. A user has its own tasks and those assigned to it, a member
    reads and acts on all of the tenant, an admin also deletes and sees tracebacks; a service does so in every tenant,
    and may act for others.
    """

    expires_at = None if expires is None else _expiry(expires)

    async def make(keys: Keyring) -> tuple[ApiKey, str, bool]:
        is_first = not await keys.in_use()
        key, secret = await keys.add(name, grants, display_name=display_name, profile=profile, expires_at=expires_at)
        return key, secret, is_first

    try:
        key, secret, is_first = _with_keys(store, make)
    except Invalid as error:
        raise CommandError(" ".join(map(_told, error.faults)), Exit.USAGE) from error
    # First what the key can be revoked by, should there be no room for the key itself.
    called = "" if key.display_name == key.name else f" ({key.display_name})"
    until = "" if key.expires_at is None else f", until {times.to_rfc3339(key.expires_at)[:19]}Z"
    note(on_one_line(f"Key {key.id} of {key.name}{called}, with {_grants(key)}{until}. It is shown this once only."))
    if is_first:
        note("It is the first: from now on this store is closed to who has no key.")
    say(secret)


@app.command(epilog=LIST_EXAMPLES, name="list", short_help="List all keys.")
def list_keys(json: Json = False, store: Store = None) -> None:
    """List all keys, oldest first, and what they are for. The keys themselves nobody knows.

    One that has expired or was revoked is forgotten 30 days later.
    """

    async def read(keys: Keyring) -> list[ApiKey]:
        return [key async for key in keys.all()]

    found = _with_keys(store, read)
    if json:
        say_json({"keys": [_as_json(key) for key in found]})
    else:
        say_table(HEADS, map(_row, found))


@app.command(epilog=ROTATE_EXAMPLES, short_help="Make a key in the place of another, and print it once.")
def rotate(
    id: Annotated[str, typer.Argument(metavar="ID", help="The key, by its id or as it was printed.")],
    grace: Annotated[
        str, typer.Option(metavar="DURATION", help="How long the old key is valid beside the new one; 0s ends it now.")
    ] = format_duration(GRACE),
    store: Store = None,
) -> None:
    """Make a key in the place of another, and print it alone on stdout: this once.

    It is the same principal's, with the same grants, and lives as long, from now on, as the old one was to. That one is
    refused once the grace is over.
    """
    try:
        left = parse_duration(grace)
    except ValueError as error:
        raise CommandError(f"--grace: {error}.", Exit.USAGE) from error

    async def replace(keys: Keyring) -> tuple[ApiKey, str]:
        return await keys.rotate(key_id(id), grace=left)

    try:
        key, secret = _with_keys(store, replace)
    except NotFound as error:
        raise CommandError(f"{error.detail} {LISTED}", Exit.NOT_FOUND) from error
    if key_id(id) != id and left:
        note(f"milepost: ID: a whole key {SEEN}; its id, which is in it, does as well.")
    old = f"{key_id(id)} is valid for {format_duration(left)} more" if left else f"{key_id(id)} is valid no more"
    note(on_one_line(f"Key {key.id} of {key.name}, with {_grants(key)}. It is shown this once only. {old}."))
    say(secret)


@app.command(epilog=REVOKE_EXAMPLES, short_help="End keys for good.")
def revoke(
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="The keys, by their ids or as they were printed.")],
    store: Store = None,
) -> None:
    """End keys for good: whoever shows one is refused from the next request on. Their tasks stay as they are."""

    async def end(keys: Keyring) -> tuple[list[ApiKey | None], bool]:
        ended = [await _revoked(keys, key_id(text)) for text in ids]
        return ended, any([key.is_valid(times.now()) async for key in keys.all()])

    ended, is_any_left = _with_keys(store, end)
    for text, key in zip(ids, ended, strict=True):
        if key is not None:
            say(f"{key.id}\trevoked {_moment(key.revoked_at)}\t{on_one_line(key.name)}")
        elif len(ids) > 1:
            note(f"milepost: {_shown(text)}: There is no such key.")
    if not is_any_left and any(ended):
        note("There is no valid key any more, and the store stays closed: `milepost key add` makes one.")
    missing = ended.count(None)
    if missing:
        what = "There is no such key." if len(ids) == 1 else f"Not done for {missing} of the {len(ids)} keys."
        raise CommandError(f"{what} {LISTED}", Exit.NOT_FOUND)


def _with_keys(store: str | None, act: Callable[[Keyring], Coroutine[Any, Any, T]]) -> T:
    """What comes of acting on the keys of a store. Raises CommandError where it can't be opened or written."""
    from milepost.cli.storing import application, check_there, opened  # a client's commands start faster without it

    milepost = application(store)
    check_there(milepost.path, "`milepost migrate --create` makes one.")

    async def run() -> T:
        async with opened(milepost):
            return await act(milepost.service.keys)

    try:
        return asyncio.run(run())
    except (StoreBusy, StoreFull) as error:
        raise CommandError(f"--store: {error}", Exit.FAILED) from error


async def _revoked(keys: Keyring, id: str) -> ApiKey | None:
    try:
        return await keys.revoke(id)
    except NotFound:
        return None


def _expiry(text: str) -> int:
    """The time that a duration from now, a date or a date with a time says, in µs. Raises CommandError."""
    try:
        if _DATE.fullmatch(text):
            return times.from_rfc3339(f"{text}T00:00:00Z")
        return times.from_rfc3339(text) if "T" in text.upper() else times.now() + parse_duration(text)
    except ValueError as error:
        raise CommandError(f"--expires: {error}.", Exit.USAGE) from error


_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")


def _told(fault: Fault) -> str:
    """A fault by the word or option that it is about."""
    first, *rest = (fault.pointer or "").split("/")[1:]
    number = f" {int(rest[0]) + 1}" if rest else ""
    return f"{_OPTIONS[first]}{number}: {on_one_line(fault.detail)}"


_OPTIONS: Final = {
    "name": "NAME",
    "display_name": "--display-name",
    "grants": "--grant",
    "profile": "--aparavi",
    "expires_at": "--expires",
}


def _shown(text: str) -> str:
    """What was given for an id, cut where it may be a secret."""
    is_id = re.fullmatch("[0-9a-f]{16}", key_id(text)) is not None
    return key_id(text) if is_id else on_one_line(text if len(text) <= 16 else f"{text[:8]}…")


def _grants(key: ApiKey) -> str:
    return ", ".join(f"{tenant}:{role}" for tenant, role in key.grants)


def _moment(time: int | None) -> str:
    return "" if time is None else wording.moment(times.to_rfc3339(time))


def _row(key: ApiKey) -> tuple[str, ...]:
    said = (key.id, key.name, key.display_name, _grants(key), key.profile or "")
    return *said, *map(_moment, (key.created_at, key.last_used_at, key.expires_at, key.revoked_at))


def _as_json(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "display_name": key.display_name,
        "grants": [f"{tenant}:{role}" for tenant, role in key.grants],
        "profile": key.profile,
        "created_at": times.to_rfc3339(key.created_at),
        "last_used_at": _time(key.last_used_at),
        "expires_at": _time(key.expires_at),
        "revoked_at": _time(key.revoked_at),
        "replaced_by": key.replaced_by,
    }


def _time(time: int | None) -> str | None:
    return None if time is None else times.to_rfc3339(time)
