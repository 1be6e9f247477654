"""The Python package at work, within its own environment.

Usage: python aparavi_python.py URL KEY FOLDER, with a.txt and b.txt in the folder. The last line says what came of each
step.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from aparavi_dtc_sdk import AparaviClient  # type: ignore[import-not-found]

NOBODY = "00000000-0000-0000-0000-000000000000"


def source(path: str) -> dict[str, Any]:
    return {"source": "file_1", "components": [{"id": "file_1", "provider": "file", "config": {"path": path}}]}


STANDING: dict[str, Any] = {
    "source": "webhook_1",
    "components": [
        {"id": "webhook_1", "provider": "webhook", "config": {"mode": "Source"}},
        {"id": "text_1", "provider": "text", "config": {}, "input": [{"lane": "data", "from": "webhook_1"}]},
    ],
}


def refusal(action: Callable[[], Any]) -> list[str] | None:
    """The kind and the text of the error that this raises."""
    try:
        action()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return None


def main(url: str, key: str, folder: str) -> dict[str, Any]:
    client = AparaviClient(base_url=url, api_key=key, logs="none")
    said: dict[str, Any] = {"version": client.get_version().data}

    def ended(pipeline: dict[str, Any]) -> Any:
        """The status of a pipeline once it has come to its end; raises what the package makes of a failure."""
        started = client.execute_pipeline(pipeline, name="n1", threads=4).data
        said["token"] = started["token"]
        while True:
            status = client.get_pipeline_status(started["token"], started["type"]).data
            if status["status"] == "Completed":
                return status
            time.sleep(0.02)

    said["ended"] = ended(source("/data/source"))
    said["failed"] = refusal(lambda: ended(source("/data/nowhere")))
    said["valid"] = client.validate_pipeline(STANDING).status
    said["invalid"] = refusal(lambda: client.validate_pipeline({"components": [{"provider": "ocr"}]}))
    said["refused"] = refusal(lambda: client.execute_pipeline({"components": [{"provider": "ocr"}]}))

    said["one"] = client.execute_pipeline_workflow(STANDING, f"{folder}/a.txt")
    said["two"] = client.execute_pipeline_workflow(STANDING, f"{folder}/*.txt")
    standing = client.execute_pipeline(STANDING).data
    said["running"] = client.get_pipeline_status(standing["token"], standing["type"]).data
    said["teardown"] = client.teardown_pipeline(standing["token"], standing["type"]).data
    said["cancelled"] = refusal(lambda: client.get_pipeline_status(standing["token"], standing["type"]))

    said["unknown"] = refusal(lambda: client.get_pipeline_status(NOBODY, "cpu"))
    said["unended"] = refusal(lambda: client.teardown_pipeline(NOBODY, "cpu"))
    said["unsent"] = refusal(lambda: client.send_payload_to_webhook(NOBODY, "cpu", f"{folder}/a.txt"))
    stranger = AparaviClient(base_url=url, api_key="nonsense", logs="none")
    said["stranger"] = refusal(lambda: stranger.get_pipeline_status(standing["token"], "cpu"))
    return said


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])) + "\n")
