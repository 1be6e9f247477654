"""Drives Quant's six operations with the transport of QuantCDN's own SDK, and prints what it was told, as JSON.

python quant_sdk.py URL TOKEN
"""

import json
import sys
from importlib import import_module
from typing import Any

url, token = sys.argv[1:]
sdk: Any = import_module("quantcdn")
configuration = sdk.Configuration(host=url, access_token=token)
told: dict[str, Any] = {"version": sdk.__version__}

TASKS = "/api/v3/organizations/{organisation}/ai/tasks"


def call(method: str, path: str = TASKS, *, query: Any = (), body: Any = None, **names: str) -> Any:
    """What an operation answers, as the methods of the SDK's own classes ask for it."""
    with sdk.ApiClient(configuration) as client:
        headers = {"Accept": client.select_header_accept(["application/json"])}
        if body is not None:
            headers["Content-Type"] = client.select_header_content_type(["application/json"])
        request = client.param_serialize(
            method=method,
            resource_path=path,
            path_params={"organisation": "acme", **names},
            query_params=list(query),
            header_params=headers,
            body=body,
            auth_settings=["BearerAuth"],
        )
        response = client.call_api(*request)
        response.read()
        try:
            return client.response_deserialize(response, {"2XX": "object"}).data
        except sdk.ApiException as error:
            return {"refused": type(error).__name__, "status": error.status, **json.loads(error.body)}


def update(task: str, **said: Any) -> Any:
    return call("PUT", TASKS + "/{taskId}", taskId=task, body=said)


told["created"] = created = call("POST", body={"title": "Extract", "taskListId": "world 1", "metadata": {"n": 1}})
first = created["taskId"]
second = call("POST", body={"title": "Analyse", "taskListId": "world 1", "dependsOn": [first]})["taskId"]
told["at it"] = update(first, status="in_progress", progress=0.5, progressMessage="Half")
told["read"] = call("GET", TASKS + "/{taskId}", taskId=first.upper())
told["listed"] = call("GET", query=[("taskListId", "world 1"), ("status", "in_progress"), ("limit", 10)])
told["dependents"] = call("GET", query=[("dependsOn", first), ("includeDetails", True)])
told["graph"] = call("GET", TASKS + "/{taskListId}/dependency-graph", taskListId="world 1")
told["in the way"] = call("DELETE", TASKS + "/{taskId}", taskId=first)
told["done"] = update(first, status="completed", result={"pages": 3})
told["freed"] = call("GET", TASKS + "/{taskId}", taskId=second)
told["wrong"] = update(second, status="done")
told["illegal"] = update(first, status="in_progress")
told["gone"] = call("DELETE", TASKS + "/{taskId}", taskId=first, query=[("cascade", True)])
told["unknown"] = call("GET", TASKS + "/{taskId}", taskId=first)
configuration.access_token = "nobody"
told["nobody"] = call("GET")
sys.stdout.write(json.dumps(told | {"ids": [first, second]}))
