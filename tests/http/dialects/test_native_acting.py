"""Cancel, pause, retry, deletion; and changes of a record."""

from typing import Any

import httpx2
import pytest

from milepost import lifecycle
from milepost.access.principal import LOCAL
from milepost.service import Service
from tests.http.conftest import Tasks

from .wire import post

# Acting.


async def test_p5_a_cancel_is_shown_as_requested_until_the_work_has_stopped(
    client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    running = await tasks.running()
    asked = await client.post(f"/v1/tasks/{running.id}/cancel")
    assert (asked.status_code, asked.json()["state"], asked.json()["cancel_requested"]) == (202, "running", True)
    assert asked.headers["etag"] == f'"{running.version + 1}-native"'
    again = await client.post(f"/v1/tasks/{running.id}/cancel")
    assert (again.status_code, again.json()["version"]) == (202, running.version + 1)
    await tasks.apply(running, lifecycle.park)
    done = await client.post(f"/v1/tasks/{running.id}/cancel")
    assert (done.status_code, done.json()["state"]) == (200, "cancelled")


async def test_p5_a_pause_is_shown_as_requested_until_the_work_has_stopped(
    client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    running = await tasks.running()
    asked = await client.post(f"/v1/tasks/{running.id}/pause")
    assert (asked.status_code, asked.json()["pause_requested"]) == (202, True)
    taken_back = await client.post(f"/v1/tasks/{running.id}/resume")
    assert (taken_back.status_code, taken_back.json()["pause_requested"]) == (200, False)
    await client.post(f"/v1/tasks/{running.id}/pause")
    await tasks.apply(running, lifecycle.park)
    assert (await client.post(f"/v1/tasks/{running.id}/pause")).json()["state"] == "paused"
    resumed = await client.post(f"/v1/tasks/{running.id}/resume")
    assert (resumed.status_code, resumed.json()["state"]) == (200, "queued")


async def test_a_cancelled_task_can_be_tried_again(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    cancelled = await client.post(f"/v1/tasks/{task.id}/cancel", headers={"content-type": "application/json"})
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    retried = await client.post(f"/v1/tasks/{task.id}/retry")
    assert (retried.status_code, retried.json()["state"]) == (200, "queued")
    refused = await client.post(f"/v1/tasks/{task.id}/retry")
    assert refused.status_code == 409
    assert refused.json()["state"] == "queued"


async def test_a_retry_can_leave_those_alone_that_failed_because_of_it(
    client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    root = await tasks.start()
    task = (await client.post("/v1/tasks", json={"type": "export", "depends_on": [root.id]})).json()
    await client.post(f"/v1/tasks/{root.id}/cancel")
    await client.post(f"/v1/tasks/{root.id}/retry", params={"revive": "false"})
    assert (await client.get(f"/v1/tasks/{task['id']}")).json()["state"] == "failed"
    await client.post(f"/v1/tasks/{root.id}/cancel")
    await client.post(f"/v1/tasks/{root.id}/retry")
    assert (await client.get(f"/v1/tasks/{task['id']}")).json()["state"] == "blocked"


async def test_a_finished_task_can_be_deleted(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.succeeded()
    deleted = await client.delete(f"/v1/tasks/{task.id}")
    assert (deleted.status_code, deleted.json()) == (200, {"deleted": [task.id]})
    assert (await client.get(f"/v1/tasks/{task.id}")).status_code == 404


async def test_a_task_that_others_depend_on_is_deleted_with_them_or_not_at_all(
    client: httpx2.AsyncClient, tasks: Tasks, service: Service
) -> None:
    first = await tasks.start()
    second = await tasks.start(depends_on=(first.id,))
    assert (await client.delete(f"/v1/tasks/{first.id}")).status_code == 409
    await service.cancel(LOCAL, second.id)
    await service.cancel(LOCAL, first.id)
    refused = await client.delete(f"/v1/tasks/{first.id}")
    assert (refused.status_code, refused.json()["dependents"]) == (409, [second.id])
    deleted = await client.delete(f"/v1/tasks/{first.id}?cascade=true")
    assert set(deleted.json()["deleted"]) == {first.id, second.id}


# Changing.


async def test_labels_change_and_null_clears_them(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start(title="T", description="D", metadata={"a": 1})
    url = f"/v1/tasks/{task.id}"
    body = {"title": "New", "description": None, "list_id": "L", "assignee": "ann"}
    response = await client.patch(url, json=body)
    assert response.status_code == 200
    record = response.json()
    assert {name: record[name] for name in body} == body
    assert record["metadata"] == {"a": 1}
    assert response.headers["etag"] == f'"{record["version"]}-native"'
    more = await client.patch(url, json={"metadata": {"b": {"c": 2}}})
    assert more.json()["metadata"] == {"a": 1, "b": {"c": 2}}
    merge = await client.patch(
        url, content=b'{"metadata": null}', headers={"content-type": "application/merge-patch+json"}
    )
    assert merge.json()["metadata"] is None


async def test_a_change_is_refused_when_the_record_has_changed_since(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    url = f"/v1/tasks/{task.id}"
    first = await client.patch(url, json={"title": "A"}, headers={"if-match": '"1-native"'})
    assert first.status_code == 200
    late = await client.patch(url, json={"title": "B"}, headers={"if-match": '"1-native"'})
    assert (late.status_code, late.json()["type"]) == (412, "/problems/version-mismatch")
    tag = first.headers["etag"]
    assert (await client.patch(url, json={"title": "C"}, headers={"if-match": f'"0-x", {tag}'})).status_code == 200
    unknown = await client.patch(f"/v1/tasks/{'0' * 32}", json={"title": "C"}, headers={"if-match": '"nonsense"'})
    assert unknown.status_code == 404


async def test_an_external_task_may_begin_as_running(client: httpx2.AsyncClient) -> None:
    started = (await post(client, {"type": "agent-work", "runner": "external", "state": "running"})).json()
    assert (started["state"], started["attempt"], started["started_at"]) == ("running", 1, started["created_at"])


async def test_a_client_drives_its_external_task(client: httpx2.AsyncClient) -> None:
    started = await post(client, {"type": "agent-work", "runner": "external", "lease_seconds": 60})
    url = started.headers["location"]
    running = await client.patch(
        url, json={"state": "running", "progress": 0.5, "message": "half", "counts": {"done": 1, "total": 2}}
    )
    record = running.json()
    assert (record["state"], record["progress"], record["message"]) == ("running", 0.5, "half")
    assert record["counts"] == {"done": 1, "total": 2, "failed": 0, "skipped": 0}
    done = await client.patch(url, json={"state": "succeeded", "result": {"found": [1, None]}})
    assert (done.json()["state"], done.json()["result"]) == ("succeeded", {"found": [1, None]})
    assert (await client.get(f"{url}/result")).json() == {"found": [1, None]}


async def test_an_external_task_fails_as_its_client_says(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start("agent-work", runner="external")
    await client.patch(f"/v1/tasks/{task.id}", json={"state": "running", "lease_seconds": None})
    failed = await client.patch(
        f"/v1/tasks/{task.id}", json={"state": "failed", "failure": {"code": "lost", "message": "Lost."}}
    )
    assert failed.json()["failure"] == {"code": "lost", "message": "Lost."}


async def test_a_waiting_task_is_held_and_freed(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    other = await tasks.start()
    url = f"/v1/tasks/{task.id}"
    held = (await client.patch(url, json={"state": "blocked", "blocked_reason": "Not yet."})).json()
    assert (held["state"], held["blocked_reason"]) == ("blocked", "Not yet.")
    assert (await client.patch(url, json={"state": "queued"})).json()["state"] == "queued"
    waits = (await client.patch(url, json={"depends_on": [other.id.replace("-", "")]})).json()
    assert (waits["state"], waits["blocked_by"]) == ("blocked", [other.id])
    assert (await client.patch(url, json={"depends_on": []})).json()["state"] == "queued"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"state": "running"}, 409),
        ({"progress": 0.5}, 409),
        ({"result": 1}, 409),
        ({"progress": 2}, 422),
        ({"state": "done"}, 422),
        ({"owner": "me"}, 422),
        ({"counts": {"done": -1}}, 422),
        ({"depends_on": ["x"]}, 422),
        ({"depends_on": None}, 422),
        ({"lease_seconds": 0}, 422),
        ({"lease_seconds": 10**18}, 422),
        ({"counts": {"done": 10**30}}, 422),
        ({"title": "x" * 10_001}, 422),
        ([], 422),
    ],
)
async def test_what_a_client_may_not_change_is_refused(
    body: Any, status: int, client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    task = await tasks.start()
    assert (await client.patch(f"/v1/tasks/{task.id}", json=body)).status_code == status
    assert (await client.get(f"/v1/tasks/{task.id}")).json()["version"] == 1


async def test_a_change_says_what_it_is(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.start()
    response = await client.patch(f"/v1/tasks/{task.id}", content=b"{}", headers={"content-type": "text/json"})
    assert response.status_code == 415
    assert "application/merge-patch+json" in response.headers["accept"]
