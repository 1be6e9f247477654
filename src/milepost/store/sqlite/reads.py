"""How is the store read?

`Reads` has a connection of its own and is used by one thread at a time: the event loop's for what costs less than a
change of threads, a reader thread's for everything else.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from hashlib import blake2b
from heapq import merge
from operator import itemgetter
from typing import Any, Final

import apsw
import msgspec

from milepost import lifecycle, notice
from milepost.store.api_keys import ApiKey, KeyPage
from milepost.store.callbacks import Callback, WebhookSecret
from milepost.store.protocol import PAGE_BYTES, Cold, Filter, LogPage, Page, Scope, Tally, TypeInfo
from milepost.store.refusals import StoreBusy
from milepost.store.sqlite import api_keys, callbacks, lists, log, rows, sight, task_types
from milepost.store.sqlite.cursor import Cursors
from milepost.store.sqlite.schedule import NOTED_AT_ONCE
from milepost.store.sqlite.sight import visibility
from milepost.store.sqlite.statements import SQL
from milepost.store.workers import Pulse, Request, WorkerInfo
from milepost.task import State, Task

_BUSY: Final = "The database is being recovered or closed by another process."
_worker_info = msgspec.json.Decoder(WorkerInfo).decode


def _cold(
    given: bytes, checkpoint: bytes | None, traceback: str | None, files: str | None, sealed: bytes | None
) -> Cold:
    return Cold(given, checkpoint, traceback, rows.files(files), sealed)


class Reads:
    """Reads through one connection. Methods are those of TaskStore, without the waiting."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        key: bytes = self._rows("cursor_key")[0][0]
        self._cursors = Cursors(key)
        self._key_cursors = Cursors(blake2b(key=key, person=b"keys", digest_size=32).digest())
        # Another one than that of cursors, as random, and not to be told from it.
        self.secret = blake2b(key=key, person=b"secret", digest_size=32).digest()

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def get(self, ids: Sequence[str], scope: Scope, now: int) -> list[Task | None]:
        """See TaskStore.get."""
        parameters = {"now": now, **visibility(scope)}
        found: list[Task | None] = []
        for task_id in ids:
            row = self._row("get", {"id": task_id, **parameters})
            found.append(None if row is None else self._shown(rows.record(row).task, scope, now))
        return found

    def cold(self, ids: Sequence[str], scope: Scope, now: int) -> list[Cold | None]:
        """See TaskStore.cold."""
        parameters = {"now": now, **visibility(scope)}
        found = [self._row("cold", {"id": task_id, **parameters}) for task_id in ids]
        return [None if row is None else _cold(*row) for row in found]

    def result(self, id: str, scope: Scope, run: int | None, start: int, stop: int | None, now: int) -> bytes | None:
        """See TaskStore.result."""
        with self._one_moment():
            row = self._row("result", {"id": id, "run": run, "now": now, **visibility(scope)})
            if row is None:
                return None
            with closing(self._connection.blob_open("main", "result", "body", row[0], writeable=False)) as body:
                start = min(start, body.length())
                body.seek(start)
                return body.read(-1 if stop is None else max(0, stop - start))

    def find(self, filter: Filter, scope: Scope, after: str | None, limit: int, now: int) -> Page:
        """See TaskStore.find."""
        before = lists.END if after is None else self._cursors.open(after)
        if not self._sees(filter, scope, now):
            return Page([], None)
        parameters = {"before": before, "limit": limit + 1, "now": now, **lists.wishes(filter), **visibility(scope)}
        tasks: list[Task] = []
        seen = size = last = 0
        with ExitStack() as stack:
            found = [
                stack.enter_context(closing(self._each(statement, {**parameters, **place})))
                for statement, place in lists.paths(filter, scope)
            ]
            for row in merge(*found, key=itemgetter(0), reverse=True):
                if row[0] == last:  # it was found in two ways
                    continue
                if seen == limit or size > PAGE_BYTES:
                    return Page(tasks, self._cursors.seal(last) if seen else None)
                seen, size, last = seen + 1, size + rows.size(row), row[0]
                tasks += [self._shown(stored.task, scope, now) for stored in rows.readable([row])]
        return Page(tasks, None)

    def _shown(self, task: Task, scope: Scope, now: int) -> Task:
        return sight.shown(self._rows, lifecycle.as_of(task, now), scope, now)

    def _sees(self, filter: Filter, scope: Scope, now: int) -> bool:
        """Whether a list by a relative is of one that the caller sees: of any other nothing is told."""
        named = [filter.depends_on] if filter.depends_on is not None else []
        # Who sees whole tenants finds the children of what is gone too.
        named += [filter.parent] if filter.parent is not None and scope.own else []
        return None not in self.get(named, scope, now)

    def log(self, id: str, scope: Scope, after: int, since_version: int, limit: int, now: int) -> LogPage | None:
        """See TaskStore.log."""
        with self._one_moment():
            row = self._row("get", {"id": id, "now": now, **visibility(scope)})
            if row is None:
                return None
            number, task = rows.record(row)
            parameters = {"row": number, "after": after, "since": since_version}
            with closing(self._connection.execute(SQL["log"], parameters)) as told:
                entries = log.entries_of(told, after=after, limit=limit)
            return sight.page(self._rows, lifecycle.as_of(task, now), entries, scope, now)

    def history(
        self, ids: Sequence[str], scope: Scope, before: int | None, limit: int, now: int
    ) -> list[LogPage | None]:
        """See TaskStore.history."""
        before = lists.END if before is None else before
        pages: list[LogPage | None] = []
        with self._one_moment():
            for task_id in ids:
                row = self._row("get", {"id": task_id, "now": now, **visibility(scope)})
                if row is None:
                    pages.append(None)
                    continue
                number, task = rows.record(row)
                with closing(self._connection.execute(SQL["history"], {"row": number, "before": before})) as told:
                    entries = log.history_of(told, before=before, limit=limit)
                pages.append(sight.page(self._rows, lifecycle.as_of(task, now), entries, scope, now))
        return pages

    def tenant_numbers(self, names: Sequence[str]) -> list[int | None]:
        """See TaskStore.tenant_numbers."""
        return [number for (number,) in (self._row("tenant_number", (name,)) or (None,) for name in names)]

    def tenants_numbered(self, numbers: Sequence[int]) -> list[str | None]:
        """See TaskStore.tenants_numbered."""
        return [name for (name,) in (self._row("tenant_numbered", (number,)) or (None,) for number in numbers)]

    def requests(self, worker: str) -> list[Request]:
        """See TaskStore.requests."""
        return [
            Request(task_id, epoch, cancel == 1, pause == 1)
            for task_id, epoch, cancel, pause in self._rows("requests", (worker,))
        ]

    def next_due(self, skipped: str) -> int | None:
        """See TaskStore.next_due. `skipped`: see Skipped.known."""
        due: int | None = self._rows("next_due", {"skipped": skipped})[0][0]
        return due

    def obstacles(self, skipped: str) -> list[tuple[int, str | None]]:
        """The rows of queued tasks that do not say what keeps them, with that; None: they still say what does not.

        Whatever is queued, this costs what it finds, and a few steps a type. `skipped`: see Skipped.known.
        """
        queued = [name for (name,) in self._rows("queued_types")]
        paused = {name for (name,) in self._rows("paused_types")}
        offered = {name for (name,) in self._rows("offered_types")}
        found: list[tuple[int, str | None]] = []
        for name in queued:
            due = notice.due(name, paused=paused, offered=offered)
            asked = {"type": name, "limit": -(-NOTED_AT_ONCE // len(queued)), "skipped": skipped}
            if due is not None:
                found += [(row, due) for (row,) in self._rows("not_saying", {**asked, "message": due})]
                continue
            for text in notice.NOTICES:
                found += [(row, None) for (row,) in self._rows("saying", {**asked, "message": text})]
        return found

    def find_keys(self, ids: Sequence[str]) -> list[ApiKey | None]:
        """See KeyStore.find_keys."""
        found = [self._row("find_api_key", (key_id,)) for key_id in ids]
        return [None if row is None else api_keys.key(row) for row in found]

    def keys(self, tenants: Sequence[str] | None, after: str | None, limit: int) -> KeyPage:
        """See KeyStore.keys."""
        return api_keys.page(self._rows, self._key_cursors, tenants, after, limit)

    def called(self, owners: Sequence[tuple[str, str]], now: int) -> list[str | None]:
        """See KeyStore.called."""
        return [api_keys.called(self._rows, name, tenant, now) for name, tenant in owners]

    def display_names(self, names: Sequence[str]) -> list[str | None]:
        """See KeyStore.display_names."""
        return [name for (name,) in (self._row("display_name_of", (name,)) or (None,) for name in names)]

    def has_keys(self) -> bool:
        """See KeyStore.has_keys."""
        return bool(self._rows("any_api_key")[0][0])

    def callbacks(self, task_ids: Sequence[str]) -> list[list[Callback]]:
        """See CallbackStore.of."""
        return [[Callback(*row) for row in self._rows("callbacks_of", (task_id,))] for task_id in task_ids]

    def next_callback(self, but: Sequence[str]) -> int | None:
        """See CallbackStore.next_due."""
        due: tuple[int] | None = self._row("next_callback", {"but": msgspec.json.encode(but).decode()})
        return None if due is None else due[0]

    def webhook_secrets(self, tenants: Sequence[str]) -> list[WebhookSecret | None]:
        """See CallbackStore.secrets."""
        found = [self._row("webhook_secret", (tenant,)) for tenant in tenants]
        return [None if row is None else callbacks.secret(row) for row in found]

    def known_webhook_secrets(self, tenants: Sequence[str] | None) -> list[WebhookSecret]:
        """See CallbackStore.known_secrets."""
        asked = {"tenants": callbacks.named(tenants)}
        return [callbacks.secret(row) for row in self._rows("known_webhook_secrets", asked)]

    def types(self) -> list[TypeInfo]:
        """See TaskStore.types."""
        return [task_types.info(row) for row in self._rows("types")]

    def pulses(self) -> list[Pulse]:
        """See TaskStore.pulses."""
        return [Pulse(_worker_info(info), beats) for info, beats in self._rows("pulses")]

    def has_unleased(self, now: int, skipped: str) -> bool:
        """Whether a task runs under no lease. `skipped`: see Skipped.known."""
        return bool(self._rows("any_without_lease", {"now": now, "skipped": skipped})[0][0])

    def tally(self, scope: Scope, now: int) -> list[Tally]:
        """See TaskStore.tally."""
        counted = self._rows("tally", {"now": now, **visibility(scope)})
        return [Tally(task_type, State(state), tasks) for task_type, state, tasks in counted]

    def unfinished(self, tenants: Sequence[str], most: int) -> list[int]:
        """See TaskStore.unfinished."""
        return [self._rows("unfinished", {"tenant": tenant, "most": most})[0][0] for tenant in tenants]

    def known_files(self, keys: Sequence[str]) -> set[str]:
        """See TaskStore.known_files."""
        return {key for (key,) in self._rows("known_files", {"keys": msgspec.json.encode(keys).decode()})}

    def versions(self, ids: Sequence[str]) -> dict[str, int]:
        """The versions of those of these records that there are."""
        return dict(self._rows("versions", (msgspec.json.encode(ids).decode(),)))

    def data_version(self) -> int:
        """A number that changes when another connection has committed."""
        return int(self._connection.pragma("data_version"))

    @contextmanager
    def _one_moment(self) -> Iterator[None]:
        """What is read inside is of one moment."""
        self._rows("begin_reading")
        try:
            yield
        finally:
            if self._connection.in_transaction:  # else the disk has failed, and SQLite ended it
                self._rows("commit")

    def _each(self, name: str, values: Any) -> Generator[Any, None, None]:
        """The rows of a statement one by one: not all of them may be wanted."""
        try:
            with closing(self._connection.execute(SQL[name], values)) as found:
                yield from found
        except apsw.BusyError as error:
            raise StoreBusy(_BUSY) from error

    def _rows(self, name: str, values: Any = None) -> list[Any]:
        try:
            return self._connection.execute(SQL[name], values).fetchall()
        except apsw.BusyError as error:
            raise StoreBusy(_BUSY) from error

    def _row(self, name: str, values: Any) -> Any:
        found = self._rows(name, values)
        return found[0] if found else None
