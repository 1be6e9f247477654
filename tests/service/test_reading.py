"""What does a service tell of tasks, and whom?"""

import asyncio
from pathlib import Path

import msgspec
import pytest

from milepost import errors, lifecycle
from milepost.access.principal import LOCAL
from milepost.service import News
from milepost.store.protocol import LOG_PAGE_BYTES, Filter
from milepost.task import Entry, FileResult, JsonResult, State, Task
from milepost.times import DAY, HOUR, SECOND
from milepost.update import Update
from tests.service.hands import ADA, BOB, EVE, MIA, NOW, ROOT, Hands, read


async def test_p6_others_tasks_are_as_good_as_absent(hands: Hands) -> None:
    task = await hands.start(ADA)
    assert (await hands.service.get(MIA, task.id)).id == task.id
    for stranger in (BOB, EVE):
        for call in (
            lambda who: hands.service.get(who, task.id),
            lambda who: hands.service.cold(who, task.id),
            lambda who: hands.service.log(who, task.id),
            lambda who: hands.service.result(who, task.id),
            lambda who: hands.service.wait(who, task.id, timeout=0),
            lambda who: hands.service.cancel(who, task.id),
            lambda who: hands.service.pause(who, task.id),
            lambda who: hands.service.resume(who, task.id),
            lambda who: hands.service.retry(who, task.id),
            lambda who: hands.service.update(who, task.id, Update(title="x")),
            lambda who: hands.service.delete(who, task.id),
        ):
            with pytest.raises(errors.NotFound) as refused:
                await call(stranger)
            assert refused.value.detail == "There is no such task."
        assert (await hands.service.find(stranger, Filter())).tasks == []
        assert await hands.service.tally(stranger) == []
    assert (await hands.service.get(ADA, task.id)).version == 1


async def test_a_wait_answers_on_a_change_at_the_end_and_at_its_bound(hands: Hands) -> None:
    task = await hands.start()
    waiting = asyncio.create_task(hands.service.wait(LOCAL, task.id, timeout=60 * SECOND, version=task.version))
    ending = asyncio.create_task(hands.service.wait(LOCAL, task.id, timeout=60 * SECOND, until_end=True))
    claimed = (await hands.claim()).task
    assert (await waiting).state is State.RUNNING
    assert not ending.done()
    await hands.edit(claimed, lambda t: lifecycle.succeed(t, now=NOW))
    assert (await ending).state is State.SUCCEEDED
    assert (await hands.service.wait(LOCAL, task.id, timeout=60 * SECOND)).state is State.SUCCEEDED
    other = await hands.start()
    assert (await hands.service.wait(LOCAL, other.id, timeout=60 * SECOND, version=0)).version == 1
    assert (await hands.service.wait(LOCAL, other.id, timeout=0)).version == 1


async def test_p8_following_tells_every_line_and_the_latest_state(hands: Hands) -> None:
    task = await hands.start()
    claimed = (await hands.claim()).task
    lines = tuple(Entry(NOW, "log", 1, message=str(n)) for n in range(2500))
    told = await hands.edit(
        claimed, lambda t: lifecycle.report(t, now=NOW, report=lifecycle.Report(progress=0.5, entries=lines))
    )
    await hands.edit(told, lambda t: lifecycle.succeed(t, now=NOW))

    async def follow(since: int) -> list[News]:
        return [news async for news in hands.service.follow(LOCAL, task.id, since_version=since)]

    everything = await follow(0)
    assert [entry.seq for news in everything for entry in news.entries] == list(range(1, 2505))
    assert [news.task.version for news in everything if news.task] == [4]
    rest = await follow(told.version)
    assert [entry.seq for news in rest for entry in news.entries] == [2503, 2504]
    assert [news.task for news in await follow(4)] == [None]


async def test_p8_following_tells_a_large_log_piece_by_piece(hands: Hands) -> None:
    task = await hands.start()
    claimed = (await hands.claim()).task
    lines = tuple(Entry(NOW, "log", 1, message="x" * (LOG_PAGE_BYTES // 2)) for _ in range(9))
    told = await hands.edit(claimed, lambda t: lifecycle.report(t, now=NOW, report=lifecycle.Report(entries=lines)))
    done = await hands.edit(told, lambda t: lifecycle.succeed(t, now=NOW))
    everything = [news async for news in hands.service.follow(LOCAL, task.id)]
    assert [entry.seq for news in everything for entry in news.entries] == list(range(1, done.log_seq + 1))
    assert max(sum(len(entry.message) for entry in news.entries) for news in everything) == LOG_PAGE_BYTES
    assert [news.task for news in everything] == [None] * (len(everything) - 1) + [done]


async def test_following_says_that_it_lives_and_wakes_for_a_change(hands: Hands) -> None:
    task = await hands.start()
    stream = hands.service.follow(LOCAL, task.id, pause=1)
    first = await anext(stream)
    assert first.task is not None
    assert await anext(stream) == News([], None)
    await hands.service.cancel(LOCAL, task.id)
    news = await anext(stream)
    while news.task is None:
        news = await anext(stream)
    assert news.task.state is State.CANCELLED
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_results_of_either_kind_are_read_by_range(hands: Hands, tmp_path: Path) -> None:
    task = await hands.start()
    with pytest.raises(errors.NotReady):
        await hands.service.result(LOCAL, task.id)
    large = b'"' + b"x" * 100_000 + b'"'
    await hands.run(JsonResult(len(large), msgspec.Raw(large)))
    body = await hands.service.result(LOCAL, task.id)
    assert (body.media_type, body.size, await read(body)) == ("application/json", len(large), large)
    assert await read(body, 0, 3) == b'"xx'
    path = tmp_path / "f.csv"
    path.write_bytes(b"a,b\n1,2\n")
    stored = await hands.files.put(path)
    task = await hands.start()
    await hands.run(FileResult(stored.key, "f.csv", "text/csv", stored.size, stored.sha256))
    body = await hands.service.result(LOCAL, task.id)
    assert (body.name, body.media_type, await read(body, 4, None)) == ("f.csv", "text/csv", b"1,2\n")
    await hands.files.delete([stored.key])
    with pytest.raises(errors.Gone):
        await read(body)


async def test_a_value_is_read_whole_however_large(hands: Hands) -> None:
    async def ended(content: bytes) -> Task:
        task = await hands.start()
        assert await hands.service.value(LOCAL, task) is None
        await hands.run(JsonResult(len(content), msgspec.Raw(content)))
        return await hands.service.get(LOCAL, task.id)

    large = b'"' + b"x" * 100_000 + b'"'
    assert await hands.service.value(LOCAL, await ended(b"1")) == msgspec.Raw(b"1")
    found = await ended(large)
    assert await hands.service.value(LOCAL, found) == msgspec.Raw(large)
    assert await hands.service.value(EVE, found) is None
    hands.now += 8 * DAY
    assert await hands.service.value(LOCAL, found) is None


async def test_p7_a_link_leads_to_one_run_s_result_and_ends_with_it(hands: Hands) -> None:
    task = await hands.start(BOB, tenant="acme", keep_result=HOUR // 2)
    with pytest.raises(errors.NotReady):
        await hands.service.link(BOB, task.id)
    await hands.run()
    with pytest.raises(errors.NotFound):
        await hands.service.link(EVE, task.id)
    link = await hands.service.link(BOB, task.id)
    assert await read(await hands.service.linked_result(link)) == b"1"
    with pytest.raises(errors.NotFound):
        await hands.service.linked_result("nonsense")
    hands.now += HOUR // 2
    with pytest.raises(errors.NotFound):
        await hands.service.linked_result(link)


async def test_a_task_without_a_result_says_why(hands: Hands) -> None:
    failed = await hands.start()
    await hands.fail()
    with pytest.raises(errors.Conflict):
        await hands.service.result(LOCAL, failed.id)
    silent = await hands.start()
    await hands.run(None)
    with pytest.raises(errors.NotFound):
        await hands.service.result(LOCAL, silent.id)


async def test_p7_what_is_past_its_retention_is_gone(hands: Hands) -> None:
    task = await hands.start(keep_result=HOUR, keep_record=DAY)
    await hands.run()
    hands.now += HOUR - 1
    assert (await hands.service.get(LOCAL, task.id)).result is not None
    hands.now += 1
    assert (await hands.service.get(LOCAL, task.id)).result is None
    with pytest.raises(errors.Gone):
        await hands.service.result(LOCAL, task.id)
    hands.now += DAY
    with pytest.raises(errors.NotFound):
        await hands.service.get(LOCAL, task.id)


async def test_tracebacks_are_for_admins(hands: Hands) -> None:
    task = await hands.start(ADA)
    await hands.fail()
    assert (await hands.service.cold(ADA, task.id)).traceback is None
    assert (await hands.service.cold(MIA, task.id)).traceback is None
    assert (await hands.service.cold(ROOT, task.id)).traceback == "Trace"


async def test_lists_are_filtered_and_paged(hands: Hands) -> None:
    tasks = [await hands.start(list_id="l" if n % 2 else None) for n in range(5)]
    first = await hands.service.find(LOCAL, Filter(), limit=3)
    assert [task.id for task in first.tasks] == [task.id for task in reversed(tasks[2:])]
    second = await hands.service.find(LOCAL, Filter(), limit=3, after=first.next)
    assert ([task.id for task in second.tasks], second.next) == ([tasks[1].id, tasks[0].id], None)
    assert len((await hands.service.find(LOCAL, Filter(list_id="l"))).tasks) == 2
    with pytest.raises(errors.Invalid) as refused:
        await hands.service.find(LOCAL, Filter(), after="junk")
    assert refused.value.faults[0].parameter == "after"


async def test_what_there_is(hands: Hands) -> None:
    await hands.start()
    assert [info.name for info in await hands.service.types()] == ["job"]
    assert [worker.id for worker in await hands.service.workers()] == ["w"]
    assert [(t.type, t.state, t.tasks) for t in await hands.service.tally(LOCAL)] == [("job", State.QUEUED, 1)]


async def test_an_id_that_is_none_is_not_found(hands: Hands) -> None:
    with pytest.raises(errors.NotFound):
        await hands.service.get(LOCAL, "../etc/passwd")


async def test_p7_a_clock_that_was_set_back_brings_no_result_back(hands: Hands) -> None:
    task = await hands.start(keep_result=HOUR)
    await hands.run()
    hands.now += HOUR
    expired = await hands.service.get(LOCAL, task.id)
    assert expired.result is None
    hands.now -= HOUR
    assert await hands.service.get(LOCAL, task.id) == expired
    with pytest.raises(errors.Gone):
        await hands.service.result(LOCAL, task.id)


async def test_a_history_is_for_who_may_see_the_task(hands: Hands) -> None:
    task = await hands.start(ADA, tenant="acme")
    await hands.run()
    for who in (ADA, LOCAL):
        (page,) = await hands.service.history(who, [task.id.upper()], limit=2)
        assert page is not None
        assert [entry.kind for entry in page.entries] == ["state", "outcome"]
        (older,) = await hands.service.history(who, [task.id], before=page.entries[-1].seq)
        assert older is not None
        assert [entry.target for entry in older.entries] == ["running", "queued"]
    assert await hands.service.history(EVE, [task.id]) == [None]
    with pytest.raises(errors.NotFound):
        await hands.service.history(ADA, ["none"])


async def test_a_token_leads_to_its_task_and_gives_no_rights(hands: Hands) -> None:
    task = await hands.start(ADA)
    token = await hands.service.token_of(task)
    assert token != task.id
    found = await hands.service.id_of_token(token)
    assert found == task.id
    with pytest.raises(errors.NotFound):
        await hands.service.get(EVE, found)
    for other in (task.id, "0" * 32):
        with pytest.raises(errors.NotFound) as unknown:
            await hands.service.get(ROOT, await hands.service.id_of_token(other))
        with pytest.raises(errors.NotFound) as nonsense:
            await hands.service.id_of_token("nonsense")
        assert unknown.value.detail == nonsense.value.detail
