"""Who may do what with whose task? Every operation, asked by every role, about everybody's tasks.

What is expected is worked out from DESIGN's table of roles (section 1), as it stands in `sees` and `may`.
"""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

import pytest
from msgspec.structs import replace

from milepost import errors
from milepost.access.principal import ANONYMOUS, EVERY_TENANT, LOCAL, Principal, Role
from milepost.children import owner_of, start_child
from milepost.intake import deliver, dismiss
from milepost.service import Service, Wish
from milepost.start import Start
from milepost.store.protocol import Created, Filter
from milepost.task import State, Task
from milepost.update import Update
from tests.service.hands import Hands, someone

ASKERS: Final[dict[str, Principal]] = {
    "user": someone("asker", ("acme", Role.USER)),
    "member": someone("asker", ("acme", Role.MEMBER)),
    "admin": someone("asker", ("acme", Role.ADMIN)),
    "service": someone("asker", (EVERY_TENANT, Role.SERVICE)),
    "user, and admin elsewhere": someone("asker", ("acme", Role.USER), ("beta", Role.ADMIN)),
    "admin elsewhere": someone("asker", ("beta", Role.ADMIN)),
    "nobody": ANONYMOUS,
}
IN_ACME: Final = ("user", "member", "admin", "user, and admin elsewhere")
TASKS: Final[dict[str, dict[str, Any]]] = {
    "own": {"tenant": "acme", "owner": "asker"},
    "assigned": {"tenant": "acme", "owner": "other", "assignee": "asker"},
    "another's": {"tenant": "acme", "owner": "other"},
    "own in another tenant": {"tenant": "gamma", "owner": "asker"},
    "assigned in another tenant": {"tenant": "gamma", "owner": "other", "assignee": "asker"},
}


def sees(role: str, whose: str) -> bool:
    """A user its own tasks and those assigned to it, members and admins all of the tenant, a service everything."""
    if role == "service":
        return True
    if role not in IN_ACME or "another tenant" in whose:
        return False
    return role in ("member", "admin") or whose in ("own", "assigned")


def may(role: str, whose: str, operation: str) -> type[errors.ServiceError] | None:
    """How a refusal is told; None where there is none. Who sees a task may do anything with it but delete it."""
    if not sees(role, whose):
        return errors.NotFound
    return errors.Forbidden if operation == "delete" and role not in ("admin", "service") else None


Prepare = Callable[[Hands, dict[str, Any]], Awaitable[Task]]
Call = Callable[[Service, Principal, str], Awaitable[Any]]


async def queued(hands: Hands, fields: dict[str, Any]) -> Task:
    return await hands.start(**fields)


async def succeeded(hands: Hands, fields: dict[str, Any]) -> Task:
    await hands.start(**fields)
    return await hands.run()


async def failed(hands: Hands, fields: dict[str, Any]) -> Task:
    await hands.start(**fields)
    return await hands.fail()


async def paused(hands: Hands, fields: dict[str, Any]) -> Task:
    return await hands.service.pause(LOCAL, (await hands.start(**fields)).id)


async def standing(hands: Hands, fields: dict[str, Any]) -> Task:
    return await hands.start(**fields, runner="external", state=State.RUNNING)


async def first_news(service: Service, who: Principal, task_id: str) -> None:
    async with aclosing(service.follow(who, task_id)) as stream:
        await anext(stream)


async def history(service: Service, who: Principal, task_id: str) -> None:
    """The history of one of many, where those that are not there are told beside the others."""
    (page,) = await service.history(who, [task_id])
    if page is None:
        raise errors.NotFound("There is no such task.")


OPERATIONS: Final[dict[str, tuple[Prepare, Call]]] = {
    "get": (queued, lambda service, who, task: service.get(who, task)),
    "cold": (failed, lambda service, who, task: service.cold(who, task)),
    "wait": (queued, lambda service, who, task: service.wait(who, task, timeout=0)),
    "log": (queued, lambda service, who, task: service.log(who, task)),
    "history": (queued, history),
    "follow": (queued, first_news),
    "result": (succeeded, lambda service, who, task: service.result(who, task)),
    "link": (succeeded, lambda service, who, task: service.link(who, task)),
    "callbacks": (succeeded, lambda service, who, task: service.callbacks.of(who, task)),
    "cancel": (queued, lambda service, who, task: service.cancel(who, task)),
    "pause": (queued, lambda service, who, task: service.pause(who, task)),
    "resume": (paused, lambda service, who, task: service.resume(who, task)),
    "retry": (failed, lambda service, who, task: service.retry(who, task)),
    "run_now": (failed, lambda service, who, task: service.run_now(who, task)),
    "update": (queued, lambda service, who, task: service.update(who, task, Update(title="x"))),
    "deliver": (standing, lambda service, who, task: deliver(service, who, task)),
    "dismiss": (standing, lambda service, who, task: dismiss(service, who, task)),
    "delete": (succeeded, lambda service, who, task: service.delete(who, task)),
}
"""Of each operation on one task: a task that it can be done with, and how."""

OTHERS: Final = {
    *("start", "start_many", "find", "tally", "types", "type_info", "workers", "pause_type", "resume_type"),
    *("value", "linked_result", "token_of", "id_of_token", "check", "close"),
}
"""What does not ask for one task by its id: of a record that was read, or a link, whoever has it may have the rest. A
token leads to an id, and to nothing that this could not be asked for."""


def test_no_operation_is_left_out() -> None:
    there = {name for name in vars(Service) if not name.startswith("_")}
    assert there == OPERATIONS.keys() - {"callbacks", "deliver", "dismiss"} | OTHERS


@pytest.mark.parametrize("role", ASKERS)
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_p6_a_role_decides_what_may_be_done_with_whose_task(operation: str, role: str, hands: Hands) -> None:
    prepare, call = OPERATIONS[operation]
    absent = "0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40"
    with pytest.raises(errors.NotFound) as nothing:
        await call(hands.service, ASKERS[role], absent)
    for whose, fields in TASKS.items():
        for waiting in (await hands.service.find(LOCAL, Filter(states=(State.QUEUED,)))).tasks:
            await hands.service.cancel(LOCAL, waiting.id)  # so that a worker takes the next one first
        task = await prepare(hands, fields)
        before = await hands.service.get(LOCAL, task.id)
        refusal = may(role, whose, operation)
        if refusal is None:
            await call(hands.service, ASKERS[role], task.id)
            continue
        with pytest.raises(refusal) as refused:
            await call(hands.service, ASKERS[role], task.id)
        assert type(refused.value) is refusal, whose
        assert await hands.service.get(LOCAL, task.id) == before
        if refusal is errors.NotFound:
            told = nothing.value
            assert (refused.value.detail, refused.value.facts) == (told.detail, told.facts), whose


@pytest.mark.parametrize("role", ASKERS)
async def test_p6_lists_and_counts_have_what_the_role_sees_alone(role: str, hands: Hands) -> None:
    tasks = {whose: await hands.start(**fields) for whose, fields in TASKS.items()}
    expected = {task.id for whose, task in tasks.items() if sees(role, whose)}
    who = ASKERS[role]
    for asked, among in (
        (Filter(), TASKS),
        (Filter(tenant="acme"), [whose for whose in TASKS if "another tenant" not in whose]),
        (Filter(owner="other"), ["assigned", "another's", "assigned in another tenant"]),
        (Filter(assignee="asker"), ["assigned", "assigned in another tenant"]),
        (Filter(number=1, tenant="acme"), ["own"]),
    ):
        found = {task.id for task in (await hands.service.find(who, asked)).tasks}
        assert found == expected & {tasks[whose].id for whose in among}, asked
    assert sum(tally.tasks for tally in await hands.service.tally(who)) == len(expected)


@pytest.mark.parametrize("role", ASKERS)
async def test_tracebacks_are_for_admins_and_services(role: str, hands: Hands) -> None:
    for whose, fields in TASKS.items():
        task = await failed(hands, fields)
        if sees(role, whose):
            cold = await hands.service.cold(ASKERS[role], task.id)
            assert cold.traceback == ("Trace" if role in ("admin", "service") else None)


async def outcome(service: Service, who: Principal, start: Start) -> type[errors.ServiceError] | None:
    """How a start is refused, if it is, by itself as among many."""
    (among_many,) = await service.start_many(who, [Wish(start)], origin="native")
    if isinstance(among_many, Created):
        for task in (among_many.task, (await service.start(who, start, origin="native")).task):
            assert (task.owner, task.tenant) == (start.owner or who.name, start.tenant)
        return None
    with pytest.raises(type(among_many)) as alone:
        await service.start(who, start, origin="native")
    return type(alone.value)


@pytest.mark.parametrize("role", ASKERS)
async def test_a_task_is_started_in_a_tenant_of_one_s_own_and_for_others_by_services_only(
    role: str, hands: Hands
) -> None:
    for tenant in ("acme", "gamma"):
        for owner in (None, "asker", "other"):
            is_allowed = role == "service" or (tenant == "acme" and role in IN_ACME and owner != "other")
            start = Start(type="job", tenant=tenant, owner=owner)
            expected = None if is_allowed else errors.Forbidden
            assert await outcome(hands.service, ASKERS[role], start) is expected, (tenant, owner)


@pytest.mark.parametrize("role", ASKERS)
@pytest.mark.parametrize("edge", ["depends_on", "parent"])
async def test_p10_a_start_can_name_what_its_role_sees_of_the_tenant(edge: str, role: str, hands: Hands) -> None:
    for whose, fields in TASKS.items():
        task = await queued(hands, fields)
        start = Start(type="job", tenant="acme")
        start = replace(start, **({"parent": task.id} if edge == "parent" else {"depends_on": (task.id,)}))
        expected: type[errors.ServiceError] | None = errors.Forbidden
        if role in (*IN_ACME, "service"):
            expected = None if sees(role, whose) and fields["tenant"] == "acme" else errors.Invalid
        assert await outcome(hands.service, ASKERS[role], start) is expected, whose


@pytest.mark.parametrize("role", [role for role in ASKERS if sees(role, "own")])
async def test_p10_a_change_can_name_what_its_role_sees_of_the_tenant(role: str, hands: Hands) -> None:
    for whose, fields in TASKS.items():
        first, task = await queued(hands, fields), await queued(hands, TASKS["own"])
        change = hands.service.update(ASKERS[role], task.id, Update(depends_on=(first.id,)))
        if sees(role, whose) and fields["tenant"] == "acme":
            assert (await change).depends_on == (first.id,)
            continue
        with pytest.raises(errors.Invalid, match="No such task"):
            await change


@pytest.mark.parametrize("role", ASKERS)
async def test_types_are_every_tenant_s_so_that_a_service_alone_pauses_them(role: str, hands: Hands) -> None:
    for call in (hands.service.pause_type, hands.service.resume_type):
        for name in ("job", "absent"):
            if role != "service":
                with pytest.raises(errors.Forbidden):
                    await call(ASKERS[role], name)
            elif name == "absent":
                with pytest.raises(errors.NotFound):
                    await call(ASKERS[role], name)
            else:
                assert (await call(ASKERS[role], name)).name == "job"


async def test_who_has_rights_in_several_tenants_is_told_to_name_one(hands: Hands) -> None:
    who = ASKERS["user, and admin elsewhere"]
    with pytest.raises(errors.Forbidden) as refused:
        await hands.service.start(who, Start(type="job"), origin="native")
    assert refused.value.detail == "You have no rights in the tenant 'default'. Name one of yours: acme, beta."
    with pytest.raises(errors.Forbidden) as refused:
        await hands.service.start(who, Start(type="job", tenant="gamma"), origin="native")
    assert refused.value.detail == "You have no rights in the tenant 'gamma'."
    with pytest.raises(errors.Forbidden) as refused:
        await hands.service.start(ANONYMOUS, Start(type="job"), origin="native")
    assert refused.value.detail == "You have no rights in the tenant 'default'."


@pytest.mark.parametrize("role", [role for role in ASKERS if sees(role, "own")])
async def test_a_task_works_with_the_roles_of_who_started_it_and_so_does_what_it_starts(
    role: str, hands: Hands
) -> None:
    who = ASKERS[role]
    held = {"user, and admin elsewhere": "user"}.get(role, role)
    await hands.start(who, tenant="acme")
    parent = (await hands.claim()).task
    assert (parent.owner, parent.roles) == ("asker", (held,))
    child = await start_child(hands.service, parent, Start(type="job"), None)
    assert (child.owner, child.roles) == ("asker", (held,))
    running = (await hands.claim()).task
    assert (running.id, running.roles) == (child.id, (held,))
    inside = owner_of(running)
    assert (inside.name, inside.home, inside.is_service) == ("asker", "acme", False)
    assert inside.roles("acme") == ("admin" if held == "service" else held,)
    for whose, fields in TASKS.items():
        first = await queued(hands, fields)
        start = start_child(hands.service, running, Start(type="job", depends_on=(first.id,)), whose)
        if sees(role, whose) and fields["tenant"] == "acme":
            assert (await start).depends_on == (first.id,)
            continue
        with pytest.raises(errors.Invalid):
            await start


async def test_who_acts_for_somebody_else_has_that_one_s_task_work_with_a_user_s_rights(hands: Hands) -> None:
    for owner, roles in (("asker", ("service",)), ("ada", ("user",)), (None, ("service",))):
        task = await hands.start(ASKERS["service"], tenant="acme", owner=owner)
        assert task.roles == roles
    parent = await hands.start(ASKERS["service"], tenant="acme")
    member = await hands.start(ASKERS["member"], tenant="acme", parent=parent.id)
    assert member.roles == ("member",), "who names a parent is no parent"


async def test_a_delivery_works_with_the_rights_of_the_standing_task(hands: Hands) -> None:
    task = await hands.start(ASKERS["admin"], tenant="acme", runner="external", state=State.RUNNING)
    delivered = (await deliver(hands.service, ASKERS["service"], task.id)).task
    assert (delivered.owner, delivered.roles) == ("asker", ("admin",))


async def test_children_have_their_owner_s_rights_and_no_more(hands: Hands) -> None:
    await hands.start(tenant="acme", owner="asker")
    parent = (await hands.claim()).task
    child = await start_child(hands.service, parent, Start(type="job", tenant="gamma", owner="other"), None)
    assert (child.tenant, child.owner, child.parent) == ("acme", "asker", parent.id)
    anothers = await queued(hands, TASKS["another's"])
    with pytest.raises(errors.Invalid):
        await start_child(hands.service, parent, Start(type="job", depends_on=(anothers.id,)), None)
    with pytest.raises(errors.Forbidden):
        await hands.service.delete(owner_of(parent), (await succeeded_child(hands, child)).id)


async def succeeded_child(hands: Hands, child: Task) -> Task:
    await hands.service.cancel(LOCAL, child.id)
    return child
