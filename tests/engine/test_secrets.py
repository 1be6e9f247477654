"""A task whose arguments are secret: its function gets them, and nobody else."""

import asyncio
import base64
import io
import logging
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from milepost import Context, Milepost, Secret, TaskError, notice
from milepost.access.principal import LOCAL
from milepost.engine.fields import LONGEST_FIELDS
from milepost.engine.outcome import LONGEST_CODE
from milepost.engine.secrecy import hide_secrets
from milepost.engine.task_type import TaskType
from milepost.engine.text import LONGEST
from milepost.errors import Invalid, KeyConflict, NotFound, Unavailable
from milepost.sealing import Sealing
from milepost.service import Filter, Service
from milepost.start import Start
from milepost.task import State
from tests.engine import blurting
from tests.engine.bench import Bench, Clock

KEY, OTHER = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
PASSWORD = "correct horse battery staple"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """An application with a key for secrets."""
    (tmp_path / "root").mkdir()
    clock = Clock()
    app = Milepost(
        tmp_path / "milepost.db",
        files=tmp_path / "files",
        files_root=tmp_path / "root",
        secret_key=KEY,
        clock=clock,
    )

    @app.task
    async def check(ctx: Context, *, password: Secret[str], n: int = 0) -> bool:
        return password == PASSWORD

    @app.task
    async def perhaps(*, password: Secret[str] | None = None) -> None: ...

    @app.task
    async def plain() -> None: ...

    async with app.opened() as service:
        yield Bench(app, service, tmp_path, clock)


class Kept(logging.Handler):
    """Keeps records as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def on_disk(folder: Path) -> bytes:
    """All that was written."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_the_function_gets_the_plain_text_and_who_asks_does_not(bench: Bench) -> None:
    task = await bench.start("check", {"password": PASSWORD, "n": 3})
    assert (await bench.service.cold(LOCAL, task.id)).input == b'{"password":"***","n":3}'
    assert (await bench.service.cold(LOCAL, task.id)).sealed is None
    async with bench.working(sealing=bench.app.sealing):
        await bench.end(task)
    assert await bench.result(task) is True
    assert PASSWORD.encode() not in on_disk(bench.folder)


@pytest.mark.parametrize("kind", ["loop", "thread", "process"])
async def test_nothing_that_a_function_tells_shows_it(
    bench: Bench, kind: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    bench.app.include(blurting.app)
    task_type = {"loop": "blurt", "thread": "blurt_in_thread", "process": "blurt_apart"}[kind]
    task = await bench.start(task_type, {"password": PASSWORD})
    shown = io.StringIO()
    handler = logging.StreamHandler(shown)
    logging.getLogger().addHandler(handler)
    async with bench.working(sealing=bench.app.sealing):
        ended = await bench.end(task)
    logging.getLogger().removeHandler(handler)
    assert ended.failure is not None
    assert ended.failure.message == "ValueError: *** is wrong"
    assert ended.message == "trying ***"
    assert "ValueError: *** is wrong" in (await bench.traceback(task) or "")
    entries = await bench.entries(task)
    lines = [entry for entry in entries if entry.kind == "log"]
    assert [entry.message.splitlines()[0] for entry in lines] == ["got ***", "with ***", "caught"]
    assert (lines[0].fields or {})["all"] == [{"***": "***"}]
    for told in (repr(entries), shown.getvalue(), capfd.readouterr().err):
        assert PASSWORD not in told
    assert PASSWORD.encode() not in on_disk(bench.folder)


async def test_what_is_cut_is_cut_without_it(bench: Bench) -> None:
    @bench.app.task
    async def work(ctx: Context, *, password: Secret[str]) -> None:
        before, share = "x" * (LONGEST - 6), LONGEST_FIELDS // 3
        ctx.log(before + password)
        shorter = "x" * (share - 8) + password
        fields: dict[str, Any] = {"a": shorter + before, "b": [shorter, before], shorter: before}
        ctx.log("fields", "info", **fields)
        ctx.log("odd", a=Odd(before + password))
        logging.getLogger("x").warning(before + password)
        ctx.progress(message=before + password)
        raise TaskError(before + password, code="c" * (LONGEST_CODE - 6) + password)

    task = await bench.start("work", {"password": PASSWORD})
    async with bench.working(sealing=bench.app.sealing):
        ended = await bench.end(task)
    lines = [entry for entry in await bench.entries(task) if entry.kind == "log"]
    told = [line.message for line in lines if line.message not in ("fields", "odd")]
    told += [text for line in lines for name, value in (line.fields or {}).items() for text in (name, str(value))]
    assert ended.failure is not None
    told += [ended.message or "", ended.failure.message, ended.failure.code, await bench.traceback(task) or ""]
    assert len([text for text in told if "***" in text]) == 10
    assert PASSWORD[:4] not in repr(told)


class Odd:
    """What JSON does not know."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


async def test_a_group_of_exceptions_does_not_show_one_of_several_lines(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "-----BEGIN-----\nMC4CAQAwBQYDK2Vw\nb2s=\n-----END-----\n"

    @bench.app.task
    async def work(ctx: Context, *, password: Secret[str]) -> None:
        async def load() -> None:
            raise ValueError(f"could not load {password}")

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(load())
        except* ValueError:
            logging.getLogger("x").exception("caught")
            raise

    task = await bench.start("work", {"password": secret})
    async with bench.working(sealing=bench.app.sealing):
        await bench.end(task)
    told = repr(await bench.entries(task)) + (await bench.traceback(task) or "") + capfd.readouterr().err
    assert "could not load ***" in told
    assert not [line for line in secret.split() if line in told]
    assert b"MC4CAQAw" not in on_disk(bench.folder)


async def test_a_start_without_a_key_is_refused_in_a_sentence(bench: Bench) -> None:
    bench.service.starts._sealing = Sealing()
    with pytest.raises(Invalid) as refused:
        await bench.start("check", {"password": PASSWORD})
    (fault,) = refused.value.faults
    assert fault.pointer == "/input/password"
    assert fault.detail.endswith("its operator sets MILEPOST_SECRET_KEY.")
    with pytest.raises(Invalid):
        await bench.start("check", {"password": PASSWORD}, idempotency_key="k")
    assert (await bench.service.find(LOCAL, Filter())).tasks == []


@pytest.mark.parametrize("value", [17, ["x", "sesame"], {"pass": "open sesame"}])
async def test_a_fault_does_not_show_what_it_is_of(bench: Bench, value: Any) -> None:
    with pytest.raises(Invalid) as refused:
        await bench.start("check", {"password": value, "n": "seventeen", "m": 1})
    faults = {fault.pointer: fault.detail for fault in refused.value.faults}
    assert faults.keys() == {"/input/password", "/input/n", "/input/m"}
    assert faults["/input/password"] == "It does not fit the schema; what it is does not show, as it is secret."
    assert "seventeen" in faults["/input/n"]


async def test_a_copy_of_it_in_the_metadata_is_not_kept(bench: Bench) -> None:
    """Dialects may keep there what they were sent."""
    metadata = {"sent": [{"password": PASSWORD, "n": 3}]}
    task = await bench.start("check", {"password": PASSWORD}, metadata=metadata, idempotency_key="k")
    assert (await bench.get(task)).metadata == {"sent": [{"password": "***", "n": 3}]}
    again = await bench.start("check", {"password": PASSWORD}, metadata=metadata, idempotency_key="k")
    assert again.id == task.id
    first = Start(type="check", input={"password": PASSWORD}, metadata=metadata)
    assert await bench.service.starts.fingerprint(first) == await bench.service.starts.fingerprint(
        Start(type="check", input={"password": PASSWORD}, metadata={"sent": [{"password": "***", "n": 3}]})
    )
    assert PASSWORD.encode() not in on_disk(bench.folder)


async def test_in_a_thread_that_a_function_has_started_itself_it_is_not_logged_either(bench: Bench) -> None:
    @bench.app.task
    async def work(ctx: Context, *, password: Secret[str]) -> None:
        logger = logging.getLogger("x")
        thread = threading.Thread(target=logger.warning, args=("in a thread: %s", password))
        thread.start()
        await asyncio.to_thread(thread.join)

    handler = Kept()
    logging.getLogger("x").addHandler(handler)
    async with bench.working(sealing=bench.app.sealing):
        await bench.end(await bench.start("work", {"password": PASSWORD}))
    logging.getLogger("x").removeHandler(handler)
    assert [record.getMessage() for record in handler.records] == ["in a thread: ***"]


async def test_p9_the_same_key_with_the_same_secret_is_the_same_task(bench: Bench) -> None:
    task = await bench.start("check", {"password": PASSWORD}, idempotency_key="k")
    assert (await bench.start("check", {"password": PASSWORD}, idempotency_key="k")).id == task.id
    with pytest.raises(KeyConflict):
        await bench.start("check", {"password": PASSWORD + "!"}, idempotency_key="k")


async def test_the_hash_of_a_start_can_not_be_used_to_try_out_secrets(bench: Bench) -> None:
    start = Start(type="check", input={"password": PASSWORD})
    await bench.publish()
    known = await bench.service.starts.fingerprint(start)
    assert known != start.fingerprint()
    other = Service(bench.store, bench.service.files, sealing=Sealing(OTHER))
    assert known != await other.starts.fingerprint(start)
    plain = Start(type="check", input={"password": None})
    assert await bench.service.starts.fingerprint(plain) == plain.fingerprint()


async def test_a_worker_with_another_key_leaves_a_task_to_who_has_its_own(bench: Bench) -> None:
    task = await bench.start("check", {"password": PASSWORD})
    bench.clock.ahead += notice.PATIENCE
    async with bench.working(sealing=Sealing(OTHER)):
        waiting = await bench.told(task, notice.UNOPENED)
        await bench.end(await bench.start("plain"))
        assert (waiting.state, waiting.attempt, waiting.losses, waiting.started_at) == (State.QUEUED, 0, 0, None)
        async with bench.working(sealing=Sealing(f"{OTHER},{KEY}")):
            ended = await bench.end(task)
    assert (ended.state, ended.attempt, ended.message) == (State.SUCCEEDED, 1, None)


async def test_what_a_worker_has_the_key_for_it_takes_although_it_has_not_got_that_for_others(bench: Bench) -> None:
    for _ in range(3):
        await bench.start("check", {"password": PASSWORD})
    bench.service.starts._sealing = Sealing(OTHER)
    bench.clock.ahead += notice.PATIENCE
    task = await bench.start("check", {"password": PASSWORD})
    async with bench.working(sealing=Sealing(OTHER), concurrency=1):
        assert (await bench.end(task)).state is State.SUCCEEDED
    assert len((await bench.service.find(LOCAL, Filter(states=(State.QUEUED,)))).tasks) == 3


async def test_a_worker_without_any_key_does_not_offer_what_needs_one(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    task = await bench.start("check", {"password": PASSWORD})
    async with bench.working(sealing=Sealing()):
        await bench.told(task, notice.UNOFFERED)
        await bench.end(await bench.start("perhaps"))
        secret = await bench.start("perhaps", {"password": PASSWORD})
        bench.clock.ahead += notice.PATIENCE
        await bench.told(secret, notice.UNOPENED)
        (worker,) = await bench.store.workers()
        assert worker.types == ("perhaps", "plain")
    assert "There is no key for secrets here: check are left to workers that have it" in caplog.text


async def test_what_a_standing_task_has_of_secrets_its_deliveries_get(bench: Bench) -> None:
    await bench.publish()
    standing = await bench.app.start("check", {"password": PASSWORD}, runner="external", state=State.RUNNING)
    child = await bench.app.deliver(standing, {"n": 1}, idempotency_key="d")
    other = await bench.app.deliver(standing, {"password": "another"}, idempotency_key="e")
    assert (await bench.app.deliver(standing, {"password": "another"}, idempotency_key="e")).id == other.id
    async with bench.working(sealing=bench.app.sealing):
        for task in (child, other):
            await bench.end(task)
    assert await bench.result(child) is True
    assert await bench.result(other) is False
    assert PASSWORD.encode() not in on_disk(bench.folder)
    bench.service.starts._sealing = Sealing(OTHER)
    with pytest.raises(Unavailable, match="no key that opens them"):
        await bench.app.deliver(standing)


async def test_a_task_that_is_gone_has_no_input_any_more(bench: Bench) -> None:
    task = await bench.start("check", {"password": PASSWORD})
    await bench.service.delete(LOCAL, task.id, unfinished=True)
    with pytest.raises(NotFound):
        await bench.service.starts.input_of(task)


async def test_a_child_is_started_with_a_secret_and_found_again(bench: Bench) -> None:
    @bench.app.task(retries=1, backoff=0)
    async def parent(ctx: Context, *, password: Secret[str]) -> Any:
        child = await ctx.start("check", {"password": password})
        if ctx.task.attempt == 1:
            raise ValueError(password)
        return [child.id]

    task = await bench.start("parent", {"password": PASSWORD})
    async with bench.working(sealing=bench.app.sealing):
        await bench.end(task)
        (child,) = await bench.result(task)
        found = (await bench.service.find(LOCAL, Filter(parent=task.id))).tasks
        assert [each.id for each in found] == [child]
        await bench.end(found[0])
    assert await bench.result(found[0]) is True
    assert PASSWORD.encode() not in on_disk(bench.folder)


def test_a_default_would_show_it() -> None:
    async def work(*, password: Secret[str] = PASSWORD) -> None: ...

    with pytest.raises(ValueError, match="the parameter password: everybody could read the default of a secret"):
        TaskType(work)


def test_hiding_once_more_changes_nothing() -> None:
    hide_secrets()
    factory = logging.getLogRecordFactory()
    hide_secrets()
    assert logging.getLogRecordFactory() is factory


@pytest.mark.parametrize(
    "log",
    [
        lambda password: logging.getLogger("x").warning("%d", password),
        lambda password: logging.getLogger("x").warning("%(a)d", {"a": password}),
        lambda password: logging.getLogger("x").warning("%s %s", password),
    ],
)
async def test_arguments_that_do_not_fit_a_line_do_not_show_it(bench: Bench, log: Callable[[str], None]) -> None:
    """They are shown in full by `logging` itself when it can't word the line."""

    @bench.app.task
    async def work(ctx: Context, *, password: Secret[str]) -> None:
        log(password)

    handler = Kept()
    logging.getLogger("x").addHandler(handler)
    async with bench.working(sealing=bench.app.sealing):
        await bench.end(await bench.start("work", {"password": PASSWORD}))
    logging.getLogger("x").removeHandler(handler)
    (record,) = handler.records
    assert "***" in repr(record.args)
    assert PASSWORD not in repr((record.msg, record.args))
