"""How does somebody's wish become a task in the store?"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from milepost import lifecycle
from milepost.access.limits import DEFAULT_LIMITS, Limits
from milepost.access.principal import Principal, Role
from milepost.access.quota import Quota
from milepost.errors import Fault, Forbidden, Invalid, NotFound, ServiceError, TooMany, Unavailable, pointer
from milepost.fleeting import Fleeting
from milepost.sealing import NO_KEYS, Sealing, Unsealable, covered, masked, said, secret_names, whole
from milepost.start import Retention, Start, draft
from milepost.store.protocol import EVERYTHING, Created, Creation, IdempotencyKey, StartKey, TaskStore, TypeInfo
from milepost.store.refusals import Refusal
from milepost.task import Task
from milepost.times import SECOND, Clock
from milepost.told import done, told

DEFAULT_TENANT: Final = "default"
MANY: Final = 200
"""Tasks that are started at once where there are very many: others' writes wait no longer than for these."""


class Wish(NamedTuple):
    """A task to start, one of many, and its Idempotency-Key."""

    start: Start
    idempotency_key: str | None = None
    parent: Task | None = None
    """The running task that starts it."""
    known_by: StartKey | None = None
    """What makes it known again in place of an Idempotency-Key."""


class Starts:
    """Makes tasks of what callers wish, as far as they may; see `Service` for the arguments."""

    def __init__(
        self,
        store: TaskStore,
        *,
        clock: Clock,
        timer: Clock,
        new_id: Callable[[], str],
        retention: Retention,
        limits: Limits = DEFAULT_LIMITS,
        sealing: Sealing,
    ) -> None:
        self._store = store
        self._clock = clock
        self._timer = timer
        self.new_id = new_id
        self._retention = retention
        self._fleeting = Fleeting(store, clock)
        self._quota = Quota(store, limits.unfinished, timer)
        self._sealing = sealing
        self._secret: dict[str, frozenset[str]] = {}
        self._types: dict[str, TypeInfo] = {}
        self._types_read_at = 0

    async def close(self) -> None:
        """See `Service.close`."""
        await self._fleeting.end()

    async def many(self, principal: Principal, wishes: Sequence[Wish], *, origin: str) -> list[Created | ServiceError]:
        """See `Service.start_many`."""
        if not all(wish.start.durable for wish in wishes):
            await self._fleeting.make_room()
        now = self._clock()
        outcomes: list[Created | ServiceError | None] = []
        creations: list[Creation] = []
        for wish in wishes:
            try:
                made = await self._creation(principal, wish, origin, now)
                made = await self._admitted(principal, made, now) if isinstance(made, Creation) else made
            except ServiceError as error:
                outcomes.append(error)
            else:
                outcomes.append(made if isinstance(made, Created) else None)
                creations += [made] if isinstance(made, Creation) else []
        made_now = iter(await self._store.create(creations, now=now) if creations else ())
        ended = [_created(next(made_now)) if outcome is None else outcome for outcome in outcomes]
        self._fleeting.note(_fleeting(wishes, ended))
        return ended

    async def check(self, principal: Principal, start: Start, *, origin: str) -> None:
        """See `Service.check`."""
        await self._creation(principal, Wish(start), origin, self._clock())

    async def _creation(self, principal: Principal, wish: Wish, origin: str, now: int) -> Creation | Created:
        """What the store is asked for, once all is checked that needs no store; or the task of an earlier request."""
        start = wish.start
        tenant = start.tenant or principal.home or DEFAULT_TENANT
        if not principal.holds(tenant):
            own = ", ".join(sorted({grant.tenant for grant in principal.grants})) if start.tenant is None else ""
            raise Forbidden(
                f"You have no rights in the tenant {tenant!r}." + (f" Name one of yours: {own}." if own else "")
            )
        if start.owner not in (None, principal.name) and not principal.is_service:
            raise Forbidden("Only a service may start a task for somebody else.")
        owner = start.owner or principal.name
        info = await self.type_info(start.type)
        secret = self._secret.get(start.type, frozenset())
        start = _covering(start, secret)
        key = wish.known_by
        if wish.idempotency_key is not None:
            expires_at = now + self._retention.idempotency_key
            key = IdempotencyKey(wish.idempotency_key, self._fingerprint(start, secret), expires_at)
        identity = {"id": self.new_id(), "tenant": tenant, "owner": owner, "origin": origin}
        try:
            roles = _roles(principal, owner, tenant, wish)
            task = draft(start, info, self._retention, now=now, roles=roles, secret=secret, **identity)
            if task.parent is not None and wish.parent is None:
                await self._check_parent(principal, task.parent, tenant)
        except Invalid:
            # It may have been right when it was made first: its time has passed since, or its type has changed.
            known = None if key is None else await self._store.recall(tenant, owner, start.type, key, now=now)
            if known is None:
                raise
            return await self._seen(principal, done([known]))
        hidden = self._hidden(start.input, secret)
        return Creation(
            task,
            msgspec.json.encode(masked(start.input, secret) if hidden else start.input),
            lambda numbered: lifecycle.begin(numbered, now=now, state=start.state),
            principal.scope(),
            key,
            None if wish.parent is None else wish.parent.epoch,
            start.files,
            self._sealing.seal(hidden, task.id) if hidden else None,
        )

    async def _admitted(self, principal: Principal, creation: Creation, now: int) -> Creation | Created:
        """The same, or the task of an earlier request where the tenant has too many. Raises TooMany."""
        task, key = creation.draft, creation.key
        try:
            await self.admit(task.tenant)
        except TooMany:
            known = None if key is None else await self._store.recall(task.tenant, task.owner, task.type, key, now=now)
            if known is None:
                raise
            return await self._seen(principal, done([known]))
        return creation

    async def admit(self, tenant: str) -> None:
        """Count one more unfinished task of a tenant. Raises TooMany where it has as many as it may."""
        await self._quota.admit(tenant)

    async def fingerprint(self, start: Start) -> bytes:
        """A hash that is the same for the same start, and does not help to find out its secrets. Raises Invalid."""
        secret = await self.secret_names(start.type)
        return self._fingerprint(_covering(start, secret), secret)

    def _fingerprint(self, start: Start, secret: Collection[str]) -> bytes:
        disguised = self._disguised(start.input, secret)
        return (start if disguised is start.input else replace(start, input=disguised)).fingerprint()

    async def disguised(self, type: str, input: Mapping[str, Any]) -> Mapping[str, Any]:
        """An input for a hash of it: with marks in place of secrets. Raises Invalid where there is no key for that."""
        return self._disguised(input, await self.secret_names(type))

    def _disguised(self, input: Mapping[str, Any], secret: Collection[str]) -> Mapping[str, Any]:
        hidden = self._hidden(input, secret)
        return self._sealing.disguised(input, hidden) if hidden else input

    def _hidden(self, input: Mapping[str, Any], secret: Collection[str]) -> dict[str, Any]:
        """What of an input is to be sealed. Raises Invalid where there is no key for that."""
        hidden = said(input, secret)
        if hidden and not self._sealing:
            raise Invalid(*(Fault(NO_KEYS, pointer(["input", name])) for name in sorted(hidden)))
        return hidden

    async def input_of(self, task: Task) -> dict[str, Any]:
        """What a task was started with, whole: for what it starts. Raises NotFound, and Unavailable without the key."""
        (cold,) = await self._store.cold([task.id], EVERYTHING, now=self._clock())
        if cold is None:
            raise NotFound("There is no such task.")
        try:
            given, _ = whole(cold.input, cold.sealed, self._sealing, task.id)
        except Unsealable as error:
            raise Unavailable("The task has secrets, and this server has no key that opens them.") from error
        return msgspec.json.decode(given, type=dict[str, Any])

    async def secret_names(self, name: str) -> frozenset[str]:
        """The parameters of a task type that are secret."""
        await self.type_info(name)
        return self._secret.get(name, frozenset())

    async def _seen(self, principal: Principal, created: Created) -> Created:
        """The task of an earlier request as its caller sees it now."""
        (found,) = await self._store.get([created.task.id], principal.scope(), now=self._clock())
        return created if found is None else Created(found, replayed=created.replayed)

    async def _check_parent(self, principal: Principal, parent: str, tenant: str) -> None:
        """Whether a task of this tenant may name that one its parent. Raises Invalid."""
        (found,) = await self._store.get([parent], principal.scope(), now=self._clock())
        if found is None or found.tenant != tenant:
            raise Invalid(Fault("No such task.", "/parent"))

    async def type_info(self, name: str) -> TypeInfo | None:
        """See `Service.type_info`."""
        # By a clock that was set back, what is known would stay as it is for as long.
        now = self._timer()
        if now - self._types_read_at >= SECOND or name not in self._types:
            self._types = {info.name: info for info in await self._store.types()}
            self._secret = {info.name: secret_names(info.schema) for info in self._types.values()}
            self._types_read_at = now
        return self._types.get(name)


def _covering(start: Start, secret: Collection[str]) -> Start:
    """The start without copies of its secrets in the metadata: some dialects keep there what they were sent."""
    hidden = list(said(start.input, secret).values())
    return replace(start, metadata=covered(start.metadata, hidden)) if hidden and start.metadata else start


def _roles(principal: Principal, owner: str, tenant: str, wish: Wish) -> tuple[str, ...]:
    """The roles that a task works with: its starter's, or its parent's where that runs.

    Whoever acts for somebody else has that one's work done, with rights that are certain: a user's.
    """
    if wish.parent is not None:
        return wish.parent.roles
    return principal.roles(tenant) if owner == principal.name else (Role.USER,)


def _fleeting(wishes: Sequence[Wish], outcomes: Sequence[Created | ServiceError]) -> Iterator[str]:
    """The ids of the tasks that were made now and are not to outlive the service."""
    for wish, outcome in zip(wishes, outcomes, strict=True):
        if not wish.start.durable and isinstance(outcome, Created) and not outcome.replayed:
            yield outcome.task.id


def _created(outcome: Created | Refusal) -> Created | ServiceError:
    """One outcome of many: with the refusal as the cause of what a caller is told."""
    if isinstance(outcome, Created):
        return outcome
    error = told(outcome)
    error.__cause__ = outcome
    return error
