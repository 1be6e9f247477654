"""Drives a task's whole life with a client that was generated from Milepost's own document of Quant.

    python quant_generated.py URL FOLDER_OF_THE_CLIENT KEYS_BY_NAME_AS_JSON

Prints `ok` at the end; what is not as it should be raises.
"""

import json
import sys
from importlib import import_module
from typing import Any
from uuid import UUID

url, folder, shown = sys.argv[1:]
sys.path.insert(0, folder)
generated: Any = import_module("quant_generated")
NOWHERE = UUID("2489e9ad-2ee2-8e00-8ec9-32d5f69181c0")


def api(token: str) -> Any:
    configuration = generated.Configuration(host=url, access_token=token)
    return generated.AITaskManagementApi(generated.ApiClient(configuration))


keys = json.loads(shown)
root, mia, ada, eve = (api(keys[name]) for name in ("root", "mia", "ada", "eve"))
Create, Update = generated.CreateTaskRequest, generated.UpdateTaskRequest


def refused(kind: str, call: Any, *said: Any, **named: Any) -> Any:
    """What is told when a call is refused with this exception."""
    try:
        call(*said, **named)
    except getattr(generated.exceptions, kind) as error:
        return error.data
    raise AssertionError(f"{kind} was expected")


# Create.
first = root.create_task("acme", Create(title="Extract", task_list_id="world/1", metadata={"pages": [1, 2]})).task_id
assert isinstance(first, UUID)
second = root.create_task("acme", Create(title="Analyse", task_list_id="world/1", depends_on=[first])).task_id
third = root.create_task("acme", Create(title="Ask", status="blocked", blocked_reason="Ann is away")).task_id
nobody = UUID(int=7)
assert (
    "dependsOn"
    in refused("BadRequestException", root.create_task, "acme", Create(title="T", depends_on=[nobody])).message
)

# Get.
task = root.get_task("acme", first)
assert (task.status, task.metadata, task.result, task.error) == ("pending", {"pages": [1, 2]}, None, None)
assert (task.progress, task.retry_count, task.max_retries, task.started_at) == (0, 0, 3, None)
task = root.get_task("acme", second)
assert (task.status, task.depends_on, task.blocked_by_task_ids) == ("blocked", [first], [first])
task = root.get_task("acme", third)
assert (task.status, task.blocked_reason) == ("blocked", "Ann is away")
full = root.get_task_with_http_info("acme", third)
tag = full.headers["etag"]
assert refused("ApiException", root.get_task_with_http_info, "acme", third, if_none_match=tag) is None

# List.
assert [each.task_id for each in root.list_tasks("acme", task_list_id="world/1", limit=2).tasks] == [second, first]
assert [each.title for each in root.list_tasks("acme", status="blocked").tasks] == ["Ask", "Analyse"]
dependents = root.list_tasks("acme", depends_on=first, include_details=True)
assert (dependents.task_ids, dependents.tasks[0].title, dependents.count) == ([second], "Analyse", 1)
assert root.list_tasks("acme", depends_on=first).tasks is None

# Graph.
graph = root.get_dependency_graph("acme", "world/1")
assert (graph.task_count, graph.roots, graph.leaves) == (2, [first], [second])
assert (graph.graph[str(first)].dependents, graph.graph[str(second)].depends_on) == ([second], [first])

# Update, through each status.
assert root.update_task("acme", third, Update(status="in_progress"), if_match=tag).status == "in_progress"
assert root.get_task("acme", third).blocked_reason is None
assert refused("ApiException", root.update_task, "acme", third, Update(progress=0.1), if_match=tag).error == (
    "VERSION_MISMATCH"
)
assert root.update_task("acme", first, Update(status="in_progress", progress=0.25)).status == "in_progress"
root.update_task("acme", first, Update(status="blocked", blocked_reason="Why", blocked_by_task_ids=[third]))
task = root.get_task("acme", first)
assert (task.status, task.blocked_reason, task.blocked_by_task_ids) == ("blocked", "Why", [third])
root.update_task("acme", first, Update(status="pending", task_list_id=None, metadata={"a": 1}))
task = root.get_task("acme", first)
assert (task.task_list_id, task.metadata, task.blocked_reason, task.retry_count) == (None, {"a": 1}, None, 0)
root.update_task("acme", first, Update(status="completed", result={"pages": 2}))
task = root.get_task("acme", first)
assert (task.status, task.result, task.progress) == ("completed", {"pages": 2}, 1)
assert task.expires_at - task.completed_at == 30 * 24 * 3600 * 1000
assert root.get_task("acme", second).status == "pending"

# Fail, begin again, cancel.
root.update_task("acme", second, Update(status="failed", error="It broke."))
assert root.get_task("acme", second).error == "It broke."
root.update_task("acme", second, Update(status="pending", error=None, retry_count=1))
task = root.get_task("acme", second)
assert (task.status, task.error, task.retry_count, task.completed_at) == ("pending", None, 1, None)
assert root.update_task("acme", second, Update(status="cancelled")).status == "cancelled"
assert "cancelled" in refused("ConflictException", root.update_task, "acme", second, Update(status="completed")).message

# Delete.
conflict = refused("ConflictException", root.delete_task, "acme", first)
assert (conflict.error, conflict.dependent_task_ids) == ("TASK_HAS_DEPENDENTS", [second])
deleted = root.delete_task("acme", first, cascade=True)
assert (deleted.deleted, deleted.deleted_count, set(deleted.deleted_task_ids)) == (True, 2, {first, second})

# Not found, no rights.
unknown = refused("NotFoundException", root.get_task, "acme", NOWHERE)
for who in (ada, eve):
    assert refused("NotFoundException", who.get_task, "acme", third) == unknown
assert refused("NotFoundException", root.update_task, "acme", NOWHERE, Update(title="T")) == unknown
assert refused("ForbiddenException", mia.delete_task, "acme", third).error == "FORBIDDEN"
assert refused("ForbiddenException", eve.create_task, "acme", Create(title="T")).error == "FORBIDDEN"
assert refused("UnauthorizedException", api("nobody").list_tasks, "acme").error == "UNAUTHENTICATED"
assert eve.list_tasks("acme").tasks == []
sys.stdout.write("ok\n")
