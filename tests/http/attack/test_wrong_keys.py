"""Who shows wrong keys learns nothing, costs the same whatever is wrong, and keeps nobody else from being served."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import apsw
import httpx2
import pytest

from milepost.access.limits import Limits
from milepost.access.oidc import OpenIdConnect
from milepost.access.principal import LOCAL
from milepost.files.folder import FolderFiles
from milepost.http.admission import Admission
from milepost.http.dialects.known import NAMES, dialects
from milepost.http.forwarded import Forwarding
from milepost.service import Service
from milepost.start import Start
from milepost.store.sqlite.store import SqliteStore
from milepost.times import SECOND
from tests.access.issuer import AUDIENCE, NOW, RSA, issuing
from tests.http.conftest import EXPORT, Clock, Watched, http_app, in_memory
from tests.http.dialects.addresses import TENANT, paths
from tests.http.test_throttle import WORDS
from tests.service.test_same_statements import Trace

from .conftest import HOST, exchange, made, port_of, serving

WRONG: Final = f"mp_{'0' * 16}_{'1' * 64}"
TOLD: Final = "Too many wrong keys were shown from your address."
REFUSALS: Final[dict[str, Any]] = {
    "native": TOLD,
    "metavault": ("Too Many Requests", "https://tools.ietf.org/html/rfc6585#section-4", TOLD),
    "services": (18, "too_many_wrong_keys", TOLD),
    "aparavi": ("Error", "Too many wrong keys", TOLD),
    "cloudcoin": ("error", "error", TOLD),
    "quant": ("TOO_MANY_WRONG_KEYS", TOLD),
}


def shows(key: str) -> dict[str, str]:
    """The headers that show a key."""
    return {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize("name", NAMES)
async def test_each_dialect_says_it_in_its_words_and_takes_a_right_key_all_the_same(
    name: str, service: Service
) -> None:
    keys = await made(service)
    start = Start(type="export", tenant=TENANT)
    task = (await service.start(LOCAL, start, origin="native")).task
    path = (await paths(service, task))[name]
    async with in_memory(http_app(service, *dialects(), limits=Limits(wrong_keys=2))) as client:
        for expected in (401, 401, 429):
            assert (await client.get(path, headers=shows(WRONG))).status_code == expected
        answer = await client.get(path, headers=shows(WRONG))
        assert answer.status_code == 429
        assert WORDS[name](answer.json()) == REFUSALS[name]
        assert int(answer.headers["retry-after"]) in range(1, 31)
        assert answer.headers["cache-control"] == "no-store"
        assert (await client.get(path)).status_code == 401, "no key is no wrong key"
        assert (await client.get(path, headers=shows(keys.service))).status_code == 200
        assert (await client.get("/healthz", headers=shows(WRONG))).status_code == 200


async def test_an_address_is_the_one_that_trusted_proxies_name(service: Service) -> None:
    await made(service)

    async def asked(client: httpx2.AsyncClient, address: str) -> int:
        headers = {**shows(WRONG), "x-forwarded-for": address}
        return (await client.get("/v1/tasks", headers=headers)).status_code

    limits = Limits(wrong_keys=1)
    behind = http_app(service, forwarding=Forwarding(["127.0.0.1"]), limits=limits)
    async with in_memory(behind) as client:
        assert [await asked(client, "192.0.2.1") for _ in range(3)] == [401, 429, 429]
        assert await asked(client, "192.0.2.2") == 401
        assert await asked(client, "192.0.2.9, 192.0.2.2") == 429, "what the client wrote itself changes nothing"
        assert await asked(client, "2001:db8::1") == 401
        assert await asked(client, "2001:db8::2") == 429
    async with in_memory(http_app(service, forwarding=Forwarding(["10.0.0.0/8"]), limits=limits)) as client:
        assert [await asked(client, f"192.0.2.{number}") for number in range(3)] == [401, 429, 429]


@pytest.fixture
def trace() -> Iterator[Trace]:
    trace = Trace()
    apsw.connection_hooks.append(trace)
    yield trace
    apsw.connection_hooks.remove(trace)


@pytest.fixture
async def traced(trace: Trace, tmp_path: Path) -> AsyncIterator[Service]:
    """A service whose statements are noted."""
    store = SqliteStore(tmp_path / "traced.db")
    await store.open()
    await store.publish_types([EXPORT])
    files = FolderFiles(tmp_path / "traced")
    clock = Clock()
    service = Watched(store, files, clock=clock)
    yield service
    await service.close()
    await files.close()
    await store.close()


@pytest.mark.parametrize("with_issuer", [False, True])
async def test_whatever_is_wrong_with_a_key_costs_the_same_statement(
    with_issuer: bool, traced: Service, trace: Trace
) -> None:
    keys = await made(traced)
    revoked, ended = await made(traced), await made(traced)
    await traced.keys.revoke(revoked.admin.split("_")[1])
    await traced.keys.rotate(ended.admin.split("_")[1], grace=0)
    key_id, secret = keys.admin.split("_")[1:]
    start = Start(type="export", tenant=TENANT)
    task = (await traced.start(LOCAL, start, origin="native")).task
    async with issuing(RSA) as issuer:
        tokens = OpenIdConnect(issuer.url, AUDIENCE, clock=lambda: NOW * SECOND) if with_issuer else None
        app = http_app(traced, *dialects(), authenticator=Admission(lambda: traced, tokens=tokens))
        wrong = {
            "of no form": "x",
            "too short": keys.admin[:-1],
            "too long": keys.admin + "0",
            "very long": "x" * 10_000,
            "unknown": f"mp_{'f' * 16}_{secret}",
            "another secret": f"mp_{key_id}_{'0' * 64}",
            "revoked": revoked.admin,
            "ended": ended.admin,
            "what is looked for in the place of no key": f"mp_{'0' * 16}_{'0' * 64}",
            "a token of nobody's": "a.b.c",
            "a token of before": issuer.token(exp=NOW - 900),
            "a token for others": issuer.token(aud="other"),
        }
        async with in_memory(app) as client:
            for name, path in (await paths(traced, task)).items():
                assert (await client.get(path, headers=shows(keys.admin))).status_code in (200, 404)
                run = {}
                for what, shown in wrong.items():
                    trace.taken(task.id)
                    assert (await client.get(path, headers=shows(shown))).status_code == 401, what
                    run[what] = [re.sub("'[0-9a-f]{16}'", "ID", statement) for statement in trace.taken(task.id)]
                assert len(run["unknown"]) == 1
                assert all(statements == run["unknown"] for statements in run.values()), (name, run)


def asking(key: str, *lines: str) -> bytes:
    """A request for a page of tasks."""
    head = ["GET /v1/tasks?limit=1 HTTP/1.1", f"Authorization: Bearer {key}", *lines]
    return "".join(f"{line}\r\n" for line in head).encode() + HOST + b"\r\n"


async def test_a_flood_of_wrong_keys_leaves_others_served(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    keys = await made(service)
    app = http_app(service, *dialects(), limits=Limits(wrong_keys=60))
    statuses: Counter[int] = Counter()
    async with serving(app) as url:
        port = port_of(url)
        for batch in range(10):
            guesses = (f"mp_{batch:016x}_{number:064x}" for number in range(200))
            flood = b"".join(map(asking, guesses)) + asking(keys.admin, "Connection: close")
            *refused, last = await exchange(port, flood)
            statuses.update(answer.status for answer in refused)
            assert last.status == 200, "from the same address, behind all these"
    assert sum(statuses.values()) == 2_000
    assert statuses.keys() == {401, 429}
    assert 60 <= statuses[401] < 400
    assert len(caplog.records) <= 1 + statuses[401] // 60, "one line a minute"
    assert "mp_" not in caplog.text
    assert "127.0.0.1" in caplog.text
