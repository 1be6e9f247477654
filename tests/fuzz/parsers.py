"""Where does what others say come in, and which test of this folder sends whatever to it?

By module: what is read there, and the tests that do. A module that reads something and is in neither table fails
`test_parsers.py`.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Parser(NamedTuple):
    """What a module reads, and the tests that send it anything at all."""

    reads: str
    tests: tuple[str, ...]


def _by(reads: str, *tests: str) -> Parser:
    return Parser(reads, tests)


PARSERS: Final[Mapping[str, Parser]] = {
    # Values
    "times": _by("times and durations as text", "test_times", "test_durations"),
    "trigger": _by("triggers, cron expressions, time zones", "test_triggers", "test_cron_expressions"),
    "tenant": _by("numbers of tenants", "test_numbers_of_tenants"),
    "task": _by("ids of tasks", "test_ids"),
    "wish": _by("starts in Python", "test_wishes_in_python", "test_starts_in_python"),
    "webhook": _by("URLs of callbacks", "test_urls_of_callbacks"),
    "sealing": _by("keys to seal with, what is sealed", "test_keys_to_seal_with", "test_what_is_sealed"),
    "file_name": _by("names and media types of files", "test_names_of_files", "test_media_types"),
    "app": _by("stores as a path or URL", "test_stores"),
    "start": _by("inputs, by their schema", "test_every_request_is_answered"),
    "starts": _by("inputs as they were stored", "test_every_request_is_answered"),
    "update": _by("changes, merge patches", "test_merge_patches", "test_starts_and_changes_of_the_native_api"),
    # Who asks
    "access.bound": _by("names of callers that show no key", "test_bound_callers"),
    "access.keyring": _by("keys, grants", "test_keys", "test_grants"),
    "access.limits": _by("limits as text", "test_limits"),
    "access.links": _by("signed links", "test_links"),
    "access.tokens": _by("tokens of tasks", "test_ids"),
    "access.oidc": _by(
        "JSON Web Tokens, claims",
        *("test_tokens_that_nobody_has_signed", "test_tokens_that_were_signed_whatever_they_say", "test_claims"),
    ),
    "access.issuer_keys": _by(
        "discovery documents, JSON Web Key Sets",
        *("test_what_an_issuer_says_of_itself", "test_keys_of_an_issuer", "test_urls_of_issuers"),
    ),
    "access.wrong_keys": _by("addresses of who shows wrong keys", "test_who_may_call_without_a_key"),
    # Requests
    "cli.strict": _by("heads of requests", "test_heads_in_doubt"),
    "http.body": _by("bodies, their media type, coding and length", "test_json", "test_depth", "test_what_a_body_is"),
    "http.misfits": _by("what of a body is no JSON", "test_json"),
    "http.faults": _by("places of faults", "test_places_in_bodies", "test_places_of_faults_in_every_dialect"),
    "http.fields": _by("times, durations and numbers in JSON", "test_fields_of_any_value"),
    "http.lines": _by("bodies of many lines", "test_lines"),
    "http.payload": _by("forms, files as a body", "test_forms"),
    "http.upload": _by("Content-Disposition", "test_content_dispositions"),
    "http.query": _by("queries of every operation", "test_queries"),
    "http.dispatch": _by("paths, encoded slashes, what is mounted", "test_paths"),
    "http.prefer": _by("Prefer", "test_prefer"),
    "http.etag": _by("If-Match, If-None-Match", "test_if_match_and_if_none_match"),
    "http.files": _by("Range, names of results", "test_ranges", "test_names_in_headers"),
    "http.events": _by("Last-Event-ID", "test_last_event_ids"),
    "http.forwarded": _by(
        "Forwarded, X-Forwarded-*, public URLs, networks",
        *("test_what_proxies_say", "test_public_urls", "test_networks"),
    ),
    "http.headers": _by("headers that are given twice", "test_credentials"),
    "http.credentials": _by("Authorization", "test_credentials"),
    "http.open_mode": _by("Host, Origin, Sec-Fetch-*, addresses", "test_who_may_call_without_a_key"),
    "http.redaction": _by("URLs, for the access log", "test_urls_in_the_log"),
    "http.dialects.native": _by("Idempotency-Key", "test_idempotency_keys", "test_every_request_is_answered"),
    "http.dialects.native_parse": _by("starts and changes", "test_starts_and_changes_of_the_native_api"),
    "http.dialects.native_render": _by("refusals of lines, our own", "test_every_request_is_answered"),
    "http.dialects.quant_parse": _by("tasks of agents", "test_tasks_of_quant"),
    "http.dialects.services": _by("sessions, numbers of tasks", "test_credentials", "test_every_request_is_answered"),
    "http.dialects.services_parse": _by("targets, triggers", "test_tasks_of_the_services_api"),
    "http.dialects.metavault": _by("calls, arguments in paths", "test_calls_of_metavault", "test_arguments_in_paths"),
    "http.dialects.aparavi": _by("tokens in queries, deliveries", "test_every_request_is_answered"),
    "http.dialects.aparavi_pipelines": _by("pipelines, paths", "test_pipelines_of_aparavi", "test_paths_of_aparavi"),
    "http.dialects.aparavi_words": _by("places of faults", "test_places_of_faults_in_every_dialect"),
    "http.dialects.aparavi_outcome": _by("results of deliveries", "test_every_request_is_answered"),
    "http.dialects.cloudcoin": _by(
        "paths of refusals, results", "test_every_request_is_answered", "test_results_of_cloudcoin"
    ),
    # Other processes
    "store.sqlite.cursor": _by("cursors of lists", "test_cursors"),
    "store.sqlite.rows": _by("records in rows", "test_records"),
    "store.sqlite.doorbell": _by("rings of other processes", "test_rings"),
    "engine.runners.wire": _by("messages of children", "test_messages_of_children"),
    "engine.folders": _by("folders that others left", "test_folders_that_were_left"),
    "engine.fields": _by("fields of log lines", "test_fields_of_log_lines"),
    "engine.outbound": _by("answers to callbacks", "test_waits_that_receivers_of_callbacks_ask_for"),
    "engine.reach": _by("addresses", "test_addresses_within_reach"),
    "network": _by("addresses, networks", "test_addresses_within_reach", "test_networks"),
    # Servers, and what is typed
    "client.address": _by("URLs of servers, keys", "test_addresses_of_servers", "test_keys_to_send"),
    "client.retries": _by("Retry-After, Date", "test_waits_that_servers_ask_for"),
    "client.aparavi.methods": _by("answers of Aparavi's API", "test_answers_to_aparavi_s_clients"),
    "client.body": _by("names of files that are sent", "test_names_of_files_that_are_sent"),
    "cli.arguments": _by("key=value, --input", "test_arguments_of_a_start", "test_what_a_server_s_schema_says"),
    "cli.start": _by("times that are typed", "test_times_that_are_typed"),
    "cli.dialects": _by("which dialects, paths of Aparavi's", "test_dialects_that_are_typed"),
    "cli.key": _by("when a key expires", "test_times_that_are_typed"),
    "cli.events": _by("streams of events", "test_streams_of_events"),
    "cli.records": _by("records as a server tells them", "test_records", "test_entries_problems_outcomes_and_types"),
    "cli.remote": _by("problems, answers", "test_refusals"),
    "cli.result": _by("names of results", "test_names_of_results"),
    "cli.reading": _by("records, logs, types", "test_records", "test_entries_problems_outcomes_and_types"),
    "cli.wording": _by("records, for people", "test_records"),
    "cli.terminal": _by("JSON, for a terminal", "test_json_on_a_terminal_is_the_same_json"),
    "cli.many": _by("outcomes of lines", "test_entries_problems_outcomes_and_types"),
    "cli.faults": _by("faults that a server tells", "test_entries_problems_outcomes_and_types"),
}

OTHERS: Final[Mapping[str, str]] = {
    "cli.__init__": "the name of a module that is not installed",
    "cli.acting": "what the server deleted: a struct that `Remote` could have read as well",
    "cli.deliver": "a record, as in `cli.reading`",
    "cli.exposure": "a public URL that `http.forwarded` has read",
    "cli.impatient": "how much the system has not sent yet",
    "cli.sockets": "addresses that the system gives",
    "cli.sources": "files with task types, which are programs",
    "cli.tables": "descriptions of types, which are shown",
    "engine.capture": "records of the program's own logging",
    "disguise": "texts in which secrets are looked for; `tests/test_disguise.py` makes them up",
    "dependency": "reasons that the store itself has written",
    "engine.channel": "an input that the store has kept, as JSON that was checked on its way in",
    "engine.context": "what the function itself has saved, and results of others, which are JSON by then",
    "engine.names": "what a lookup answers",
    "engine.named_paths": "the function's own input; `tests/engine/test_descent.py` makes up paths",
    "engine.outcome": "a duration that the function gives",
    "engine.runners.child": "answers of the worker",
    "engine.secrecy": "records of the program's own logging",
    "engine.signature": "the function's own defaults",
    "engine.task_type": "an input that fits the type's schema; what does not is a failure of the task",
    "files.folder": "keys that the file store itself has given",
    "http.dialects.services_errors": "pointers to faults: `test_tasks_of_the_services_api`",
    "http.openapi": "the document that it has written itself",
    "signing": "secrets that this store has sealed; what opens them is in `sealing`",
    "store.sqlite.api_keys": "grants that the store itself has written; who may write it may do everything",
    "store.sqlite.callbacks": "the same of records that ended",
    "store.sqlite.log": "the same of log entries",
    "store.sqlite.migrate": "the version of a store",
    "store.sqlite.reads": "the same of workers",
    "store.sqlite.task_types": "the same of types",
}
"""Modules that look as if they parsed, and why nobody else has a say in what they read."""
