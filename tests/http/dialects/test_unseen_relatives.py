"""Does any answer of any dialect name a task that its reader does not see, because one that it sees hangs on that?"""

from collections.abc import Mapping
from typing import Any

import httpx2
import pytest

from milepost.access.principal import LOCAL
from milepost.http.app import HttpApp
from milepost.service import Service
from milepost.task import State, Task
from tests.http.conftest import Tasks, http_app

from .asking import ASKED, About, Listing, Place
from .test_one_rule import ACME, ask, spoken


@pytest.fixture
def app(service: Service) -> HttpApp:
    """Every dialect, about to stop: whoever waits is answered at once."""
    app = http_app(service, *spoken())
    app.stop()
    return app


async def names(service: Service, task: Task) -> tuple[str, ...]:
    """By what a task could be known."""
    return task.id, task.id.replace("-", ""), await service.token_of(task)


def requests(dialect: str) -> list[tuple[str, str, Mapping[str, Any]]]:
    """All that can be asked about one task, or of lists: reading comes first, as a change may end the task."""
    found = [
        (operation, asked.path, asked.send if isinstance(asked, About) else {})
        for operation, requests in ASKED[dialect].items()
        for asked in requests
        if isinstance(asked, About | Listing)
    ]
    return sorted(found, key=lambda request: not request[0].startswith("GET"))


@pytest.mark.parametrize("how", ["waits", "failed", "stands"])
@pytest.mark.parametrize("dialect", ASKED)
async def test_p6_no_answer_names_a_task_that_is_not_seen(
    dialect: str, how: str, client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    service = tasks.service
    unseen = [await tasks.start(tenant=ACME, owner="other") for _ in range(3)]
    parent, waited, by = [task.id for task in unseen]
    fields: dict[str, Any] = {"depends_on": (waited,), "blocked_by": (by,), "held": True}
    if how == "stands":
        fields = {"runner": "external", "state": State.RUNNING}
    task = await tasks.start(tenant=ACME, owner="other", assignee="asker", list_id="shared", parent=parent, **fields)
    if how == "failed":
        await service.cancel(LOCAL, waited)
        assert (await service.get(LOCAL, task.id)).state is State.FAILED
    _, user = await service.keys.add("asker", [f"{ACME}:user"])
    _, member = await service.keys.add("member", [f"{ACME}:member"])
    secret = [name for task in unseen for name in await names(service, task)]
    place = Place(task.tenant, task.id, task.number, await service.token_of(task))
    seen_by_member = ""
    for operation, path, send in requests(dialect):
        if operation.startswith("GET"):
            headers = {"authorization": f"Bearer {member}"}
            seen_by_member += (await ask(client, operation, place.within(path), headers, send)).text
        answer = await ask(client, operation, place.within(path), {"authorization": f"Bearer {user}"}, send)
        told = answer.text + repr(answer.headers)
        assert not [name for name in secret if name in told], (operation, path, answer.text)
    if dialect in ("native", "quant") and how != "stands":
        assert waited in seen_by_member, "there was something to be told"
