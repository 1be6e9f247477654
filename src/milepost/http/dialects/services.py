"""How does Milepost speak Spaaza's Services API: tasks of chains, with integers for ids?"""

import re
from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from milepost.errors import Conflict, Fault, Forbidden, Gone, Invalid, Malformed, NotFound, NotReady, ServiceError
from milepost.http.array import json_array
from milepost.http.credentials import bearer, key_of
from milepost.http.dialect import BEARER, Call, NoQuery, Operation
from milepost.http.dialects.services_errors import NO_RIGHT, NO_TASK, refusal, renamed
from milepost.http.dialects.services_logs import Told, tell, told
from milepost.http.dialects.services_operations import SESSION_CHAIN, SESSION_KEY, SESSION_USER, TASKS, operations
from milepost.http.dialects.services_parse import campaign_of, list_of, type_of, wish
from milepost.http.dialects.services_render import state_body, states_of, target_of, task_body
from milepost.http.dialects.services_shapes import (
    Chain,
    ChainQuery,
    CreateBody,
    ListQuery,
    ReadQuery,
    TaskBody,
    UrlBody,
)
from milepost.http.headers import single
from milepost.http.rendered import RawHeaders
from milepost.http.representation import representation
from milepost.service import DEFAULT_TENANT, Filter
from milepost.task import FileResult, State, Task
from milepost.times import HOUR, SECOND

AT_ONCE: Final = 100
"""Tasks of a list that are read at once."""
LOGS: Final = 10
"""Log entries that are shown where nobody asks for another number of them."""
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}")
_SECURITY: Final = {
    **BEARER,
    "session": {
        "type": "apiKey",
        "in": "header",
        "name": SESSION_KEY,
        "description": f"The secret of a key whose id {SESSION_USER} shows.",
    },
}

_encode: Final = msgspec.json.Encoder().encode


class Services:
    """The tasks of chains. One is created with what is to be done, and when:

        curl -s localhost:8006/tasks -H 'content-type: application/json' -d '{"chain": 1764, "desc": "Ledger",
            "target": {"action": "export", "export_index": "wallet-ledger"}, "trigger": {}}'

    The answer has its id, by which it is asked for until its state is DONE or ERROR; the file of an export that is DONE
    has a URL of its own, which needs no credentials.

        curl -s localhost:8006/tasks/1?chain=1764
        curl -s localhost:8006/tasks/1/download_url?chain=1764

    Ids are counted in each chain by itself. Which chain is meant is said by the key where it is of one chain, else by
    the header X-Spaaza-Session-Chain-Id or the parameter `chain`; it need not be said while only one has such a task.
    """

    name = "services"
    title = "Services API"
    security = _SECURITY

    def __init__(
        self,
        *,
        downloadable: Collection[str] = ("export",),
        execute_wait: float = HOUR / SECOND,
        created_status: int = 201,
    ) -> None:
        """`downloadable`: the actions whose files have a URL; `execute_wait`: how long an execution is waited for, in
        seconds; `created_status`: with which HTTP status a task that was created is answered.
        """
        self._downloadable = frozenset(map(type_of, downloadable))
        self._execute_wait = round(execute_wait * SECOND)
        self.created_status = created_status

    def operations(self) -> Sequence[Operation]:
        """See `Dialect.operations`."""
        return operations(self)

    def credentials(self, request: Request) -> str | None:
        """`Authorization: Bearer ID:SECRET`, or the two in the headers of a session.

        Raises Malformed where these show two keys: another program on the way may have heeded the other one.
        """
        said = bearer(request)
        if said is not None:
            identity, colon, secret = said.partition(":")
            said = key_of(identity, secret) if colon else said
        identity, secret = (single(request, name.lower().encode()) or "" for name in (SESSION_USER, SESSION_KEY))
        session = key_of(identity, secret) if secret else None
        if None not in (said, session) and said != session:
            fault = Fault("This and Authorization show two keys.", parameter=SESSION_KEY)
            raise Malformed(f"{fault.parameter}: {fault.detail}", errors=[fault])
        return said or session

    def problem(self, error: ServiceError, request: Request) -> Response:  # noqa: ARG002 the protocol's
        """The envelope with a code, a name and a description."""
        return refusal(error)

    async def create(self, call: Call[NoQuery, CreateBody]) -> Response:
        """Create a task."""
        call = await _within(call, _session_chain(call), call.body.chain)
        tenant = call.principal.home
        if tenant is None:
            raise Forbidden(NO_RIGHT)
        try:
            created = await call.service.start(call.principal, wish(call.body, tenant), origin=self.name)
        except Invalid as error:
            raise Invalid(*map(renamed, error.faults)) from error
        task = created.task
        headers = [(b"location", call.url(f"{TASKS}/{task.number}?chain={call.body.chain}").encode())]
        # As it was made: by now it may run, or have ended, and nothing has been told of that.
        return await self._answer(call, Told(task, [], task.started_at), self.created_status, headers)

    async def list(self, call: Call[ListQuery, None]) -> Response:
        """List tasks."""
        query = call.query
        call = await _scoped(call, query.chain)
        wanted = Filter(
            states=() if query.status is None else states_of(query.status),
            type=None if query.action is None else type_of(query.action),
            list_id=None if query.campaign_id is None else list_of(query.campaign_id),
        )
        return await json_array(_bodies(call, wanted))

    async def read(self, call: Call[ReadQuery, None]) -> Response:
        """Get a task."""
        query = call.query
        call = await _scoped(call, query.chain)
        shown = await tell(call, await _found(call), limit=query.log_limit, offset=query.offset)
        plain = (query.log_limit, query.offset) == (LOGS, 0)
        canonical = "" if plain else f"log_limit={query.log_limit}&offset={query.offset}"
        return await self._answer(call, shown, query=canonical)

    async def execute(self, call: Call[ChainQuery, None]) -> Response:
        """Execute a task now."""
        call = await _scoped(call, call.query.chain)
        with call.share.place():
            task = await call.service.run_now(call.principal, (await _found(call)).id)
            task = await call.wait(task.id, timeout=self._execute_wait, until_end=True)
        shown = await tell(call, task, limit=0)
        body = state_body(shown.task, shown.last_run)
        return representation(call, self.name, shown.task, lambda: _encode(body), query="state")

    async def download_url(self, call: Call[ChainQuery, None]) -> Response:
        """Get the URL of an export's file."""
        call = await _scoped(call, call.query.chain)
        task = await _found(call)
        self._check_downloadable(task)
        url = await call.download(task)
        mark = f"link={url[-16:]}"
        return representation(call, self.name, task, lambda: _encode(UrlBody(url)), query=mark)

    def _check_downloadable(self, task: Task) -> None:
        if task.type not in self._downloadable:
            raise Conflict(f"Only files of {' and '.join(sorted(self._downloadable))} tasks can be downloaded.")
        if not task.state.terminal:
            raise NotReady("The task is not DONE; its file can't be downloaded yet.")
        if task.state is not State.SUCCEEDED:
            raise Conflict("The task ended with state ERROR, and has no file.")
        if task.result is None and task.result_expires_at is not None:
            raise Gone("The file of this task is past its retention.")
        if not isinstance(task.result, FileResult):
            raise Conflict("The task made no file.")

    async def _answer(
        self, call: Call[Any, Any], shown: Told, status: int = 200, headers: RawHeaders = (), *, query: str = ""
    ) -> Response:
        chains = await call.service.tenants.numbers([shown.task.tenant])
        body = _body(shown, chains)
        return representation(call, self.name, shown.task, lambda: _encode(body), status, headers, query=query)


def _body(shown: Told, chains: dict[str, int]) -> TaskBody:
    return task_body(shown.task, chain=chains[shown.task.tenant], logs=shown.logs, last_run=shown.last_run)


def _still(task: Task, wanted: Filter) -> bool:
    """Whether it is in the state that was asked for, a moment later."""
    return not wanted.states or task.state in wanted.states


async def _bodies(call: Call[ListQuery, None], wanted: Filter) -> AsyncGenerator[list[bytes], None]:
    """The tasks of a list, page by page, as they are shown: of what they have besides, nothing is kept."""
    query = call.query
    passed = found = 0
    after: str | None = None
    while found < query.limit:
        room = query.offset - passed + query.limit - found
        page = await call.service.find(call.principal, wanted, after=after, limit=min(AT_ONCE, room))
        after = page.next
        tasks = [task for task in page.tasks if query.campaign_id in (None, campaign_of(target_of(task)))]
        skipped = min(len(tasks), query.offset - passed)
        passed += skipped
        shown = await told(call, tasks[skipped:], limit=LOGS)
        found += len(shown)
        chains = await call.service.tenants.numbers(each.task.tenant for each in shown)
        bodies = [_encode(_body(each, chains)) for each in shown if _still(each.task, wanted)]
        del page, tasks, shown
        yield bodies
        if after is None:
            break
        await call.check()


async def _scoped(call: Call[Any, None], chain: int | None) -> Call[Any, None]:
    """The call within the chain that it names, by its session or in the query, else in the only one of its caller.

    A caller of several that names none may mean any of them.
    """
    session = _session_chain(call)
    home = call.principal.home
    if session is None and chain is None:
        return call if home is None else call.within(home)
    return await _within(call, session, chain)


def _session_chain(call: Call[Any, Any]) -> int | None:
    """The chain of the caller's session, if it is in one. Raises Forbidden for what is none."""
    said = single(call.request, SESSION_CHAIN.lower().encode())
    try:
        return None if said is None else Chain.parse(said.strip())
    except ValueError:
        raise Forbidden(NO_RIGHT) from None


async def _within(call: Call[Any, Any], *chains: int | None) -> Call[Any, Any]:
    """The call with its caller's rights in this chain only: none, where different ones are named, or one of nobody."""
    for chain in chains:
        if chain is not None:
            tenant = await call.service.tenants.numbered(chain)
            if tenant is None:
                return replace(call, principal=replace(call.principal, grants=()))
            call = call.within(tenant)
    return call


async def _found(call: Call[Any, None]) -> Task:
    """The task of the path.

    Where nothing says which chain is meant, a task that was created here goes before those that were begun elsewhere,
    and of these the one of the default tenant. Raises NotFound, and Conflict where several chains have such a task.
    """
    number = call.path["id"]
    if not _NUMBER.fullmatch(number):
        raise NotFound(NO_TASK)
    wanted = Filter(number=int(number))
    tasks: list[Task] = []
    for places in (
        replace(wanted, origin=Services.name),
        replace(wanted, tenant=DEFAULT_TENANT),
        wanted,
    ):
        tasks = (await call.service.find(call.principal, places, limit=2)).tasks
        if tasks:
            break
    if not tasks:
        raise NotFound(NO_TASK)
    if len(tasks) > 1:
        raise Conflict("Several chains have a task with this ID: name the chain, by ?chain= or " + SESSION_CHAIN + ".")
    return tasks[0]
