"""For which reasons is a request refused that is right by a dialect's document, and how does the dialect tell them?

No JSON Schema can say what is not there, or is no longer ahead. Each such reason is listed with its place, and no other
is accepted.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_NATIVE = (
    # What a start or a change names must be there.
    r"/type: There is no task type '.*' here\.",
    r"/depends_on/\d+: (No such task\.|The task would wait for itself\.)",
    r"after: This cursor is not one that a list gave\.",
    # What it says together with the type's own schema and runner, which the document does not repeat.
    r"/input(/.*)?: .*",
    r"/runner: Tasks of this type run as .*, process or external\.",
    r"/state: For tasks with runner external only: .*",
    r"/lease_seconds: A positive number, for tasks with runner external only\.",
    # Times that have passed, time zones and cron expressions, and durations in words that add up to too much.
    r"/start_by: Must lie ahead\.",
    r"/run_at: A repetition must start in the years 1970 to 2999\.",
    r"/trigger/timezone: Not the IANA name of a time zone: .*",
    r"/trigger/cron: (Not a cron expression|Never matches).*",
    r"/trigger/every: (Must last from 1s to .*|A duration may last at most .*)",
    r"/timeout: (Must be more than 0\.|A duration may last at most .*)",
    r"/expires_at: A key expires at a time that is still to come\.",
    r"/grants/\d+: .*",
    # Which characters can be printed.
    r"/(name|display_name|tenant|owner): (From 1 to \d+ printable characters\.|Printable characters, .*)",
    r"/problems/idempotency-key-reused",
)

REASONS: Mapping[str, tuple[str, ...]] = {
    "native": _NATIVE,
    "metavault": (r".*: There is no such argument here\.",),  # by the type's own schema
    "services": (
        r"target\.action: There is no task type '.*' here\.",
        r"target\..*: There is no such argument here\.",
        r"trigger\.once: (Of the years 1 to 9999|Expected an ISO 8601 date and time, .*)\.",
    ),
    "aparavi": (
        r"body\.files: There is no file in the form\.",
        # How the components of a pipeline fit together.
        r"body(\.pipeline)?\.source: (Without a source there has to be one|A source has) .*",
        r"body(\.pipeline)?\.source: This is no component\.",
        r"body(\.pipeline)?\.components: Two components have the same id\.",
        r"body(\.pipeline)?\.components\.\d+\.input\.\d+\.from: .* takes its input from .*",
    ),
    "cloudcoin": (r".*: There is no such argument here\.",),
    "quant": (
        r"organisation: Printable characters, and not '\*', which stands for all of them\.",
        r"(dependsOn|blockedByTaskIds)\[\d+\]: (No such task|The task would wait for itself)\.",
        r"blockedByTaskIds: It says what blocks a task, which this one is not to be\.",
        r"blockedReason: It says why a task is blocked, which this one is not to be\.",
    ),
}
"""By dialect: patterns of `place: detail`."""


def _problem(body: Any) -> Iterator[str]:
    if "errors" not in body:
        yield body["type"]
    for fault in body.get("errors", ()):
        yield f"{fault.get('pointer', fault.get('parameter'))}: {fault['detail']}"


def _of_metavault(body: Any) -> Iterator[str]:
    for name, details in body.get("errors", {}).items():
        yield from (f"{name}: {detail}" for detail in details)


def _of_aparavi(body: Any) -> Iterator[str]:
    for fault in body.get("detail", ()):
        yield f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"


def _each(text: str) -> Iterator[str]:
    """What is told in one text, with a sentence for each place."""
    yield from re.split(r"(?<=\.) (?=[\w.\[\], ]+: )", text)


TOLD: Mapping[str, Callable[[Any], Iterator[str]]] = {
    "native": _problem,
    "metavault": _of_metavault,
    "services": lambda body: _each(body["error"]["description"]),
    "aparavi": _of_aparavi,
    "cloudcoin": lambda body: _each(body.get("payload", body)["message"]),
    "quant": lambda body: _each(body["message"]),
}
"""By dialect: what a refusal says is wrong, each as `place: detail`."""


def unknown(dialect: str, body: Any) -> list[str]:
    """What a refusal says that is none of the reasons."""
    known = re.compile("|".join(REASONS[dialect]) or "(?!)", re.DOTALL)
    return [said for said in TOLD[dialect](body) if not known.fullmatch(said)]
