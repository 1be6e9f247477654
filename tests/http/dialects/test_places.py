"""Has who is refused for want of a place to wait in changed nothing, in every operation of every dialect?"""

from typing import Any

import pytest

from milepost.access.principal import LOCAL
from milepost.http.app import HttpApp
from milepost.store.protocol import Filter
from tests.http.conftest import Tasks, in_memory

from .asking import About, Place, Starting
from .test_one_rule import ACME, app, ask, every, naming, prepare

__all__ = ["app"]

WAITS = {
    "native": {"GET /v1/tasks/{id}/events", "POST /v1/tasks", "POST /v1/tasks:batch", "POST /v1/tasks/{id}/deliveries"},
    "services": {"POST /tasks/{task_id}/execute"},
    "aparavi": {"PUT /webhook", "POST /webhook"},
}
"""What takes a place however it is asked for here, with `Prefer: wait`. A read takes one where it has to wait."""


async def versions(tasks: Tasks) -> dict[str, int]:
    """All tasks there are, and how they stand."""
    page = await tasks.service.find(LOCAL, Filter(), limit=1000)
    return {task.id: task.version for task in page.tasks}


@pytest.mark.parametrize(("dialect", "operation", "asked"), every(About) + every(Starting))
async def test_who_finds_no_place_has_changed_nothing(
    dialect: str, operation: str, asked: About | Starting, app: HttpApp, tasks: Tasks
) -> None:
    fields = {"tenant": ACME, "owner": "other"}
    if isinstance(asked, About):
        task = await prepare(tasks, asked.prepared, fields)
        place = Place(ACME, task.id, task.number, await tasks.service.token_of(task))
        path, send = place.within(asked.path), asked.send
    else:
        path, send = asked.path.format(tenant=ACME), naming(asked, ACME, dialect)
    app.stop()  # whoever has a place is answered at once
    places: Any = app._throttle._places
    places.open = places._most
    before = await versions(tasks)
    async with in_memory(app) as client:
        response = await ask(client, operation, path, {"prefer": "wait=1"}, send)
    refused = response.status_code == 429
    assert not refused or await versions(tasks) == before
    if operation in WAITS.get(dialect, ()) and getattr(asked, "status", None) is None:
        assert refused, response.text
        assert response.headers["retry-after"]
    assert places.open == places._most, "who has none gives none back"
