"""Who may do what with the tasks of which chain, and how a key is shown in the Services API."""

from collections.abc import Mapping
from typing import Any

import httpx2
import pytest
from starlette.requests import Request

from milepost.access.principal import EVERY_TENANT, Grant, Principal, Role
from milepost.errors import Malformed, Unauthenticated
from milepost.http.dialect import Operation
from milepost.http.dialects.services import Services
from milepost.service import DEFAULT_TENANT, Service
from tests.http.conftest import Tasks, http_app, in_memory

from .services_wire import NOT_ALLOWED, NOT_FOUND, body

ID, SECRET = "0" * 16, "5" * 64


def someone(name: str, *grants: tuple[str, Role]) -> Principal:
    return Principal(name, name.title(), tuple(Grant(tenant, role) for tenant, role in grants))


PEOPLE = {
    "one": someone("one", ("1764", Role.MEMBER)),
    "user": someone("user", ("1764", Role.USER)),
    "two": someone("two", ("1764", Role.MEMBER), ("acme", Role.MEMBER)),
    "other": someone("other", ("7", Role.ADMIN)),
    "nobody": someone("nobody"),
    "service": someone("service", (EVERY_TENANT, Role.SERVICE)),
    "homely": someone("homely", (EVERY_TENANT, Role.SERVICE), ("acme", Role.MEMBER)),
}


class Known:
    """Knows these people by what they show."""

    async def __call__(self, request: Request, operation: Operation, credentials: str | None) -> Principal:
        if credentials not in PEOPLE:
            raise Unauthenticated("Nobody is known by this.")
        return PEOPLE[credentials]


@pytest.fixture
def app(service: Service) -> Any:
    return http_app(service, Services(), authenticator=Known())


def as_(name: str, **headers: str) -> dict[str, str]:
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    return {"authorization": f"Bearer {name}", **sent}


async def numbers(client: httpx2.AsyncClient, name: str, query: str = "", **headers: str) -> Any:
    """The chains and ids of what somebody lists."""
    listed = (await client.get(f"/tasks{query}", headers=as_(name, **headers))).json()
    return [(task["chain"], task["id"]) for task in listed]


CHAIN = "x_spaaza_session_chain_id"
ACME = 2_000_000_000


async def test_a_key_of_one_chain_is_at_work_there(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    await tasks.start(tenant="acme")
    await tasks.start(tenant="1764")
    assert (await client.get("/tasks/1", headers=as_("one"))).json()["chain"] == 1764
    assert (await client.get("/tasks/1?chain=1764", headers=as_("one"))).json()["chain"] == 1764
    for query in ("?chain=7", f"?chain={ACME}", f"?chain={ACME + 1}"):
        response = await client.get(f"/tasks/1{query}", headers=as_("one"))
        assert (response.status_code, response.json()) == (404, NOT_FOUND)
    assert await numbers(client, "one") == [(1764, 1)]
    assert await numbers(client, "one", f"?chain={ACME}") == []


async def test_p6_others_tasks_are_as_good_as_absent(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    await tasks.start(tenant="1764")
    for who, number in (("other", 1), ("nobody", 1), ("user", 1), ("one", 2)):
        for response in (
            await client.get(f"/tasks/{number}", headers=as_(who)),
            await client.get(f"/tasks/{number}/download_url", headers=as_(who)),
            await client.post(f"/tasks/{number}/execute", headers=as_(who)),
        ):
            assert (response.status_code, response.json()) == (404, NOT_FOUND)
    for who in ("other", "nobody", "user"):
        assert await numbers(client, who) == []


async def test_a_user_sees_its_own(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    await tasks.start(tenant="1764")
    made = await client.post("/tasks", json=body(), headers=as_("user"))
    assert (made.status_code, made.json()["id"]) == (201, 2)
    assert await numbers(client, "user") == [(1764, 2)]
    assert await numbers(client, "one") == [(1764, 2), (1764, 1)]


async def test_a_task_is_created_only_where_its_caller_has_a_right(client: httpx2.AsyncClient) -> None:
    for who, chain, status in (
        ("one", 1764, 201),
        ("one", 7, 403),
        ("nobody", 1764, 403),
        ("two", 1764, 201),
        ("other", 7, 201),
        ("service", 99, 201),
        ("homely", 99, 201),
        ("service", ACME, 403),
    ):
        response = await client.post("/tasks", json=body(chain=chain), headers=as_(who))
        assert response.status_code == status, (who, chain)
        if status == 403:
            assert response.json() == NOT_ALLOWED


@pytest.mark.parametrize("who", ["two", "service"])
async def test_a_caller_of_several_chains_may_have_to_name_one(
    who: str, client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    for tenant in ("acme", "acme", "1764"):
        await tasks.start(tenant=tenant)
    alone = await client.get("/tasks/2", headers=as_(who))
    assert alone.json()["chain"] == ACME
    several = await client.get("/tasks/1", headers=as_(who))
    assert (several.status_code, several.json()["error"]["name"]) == (409, "invalid_task_state")
    assert "name the chain" in several.json()["error"]["description"]
    for headers, query, chain in (
        ({CHAIN: "1764"}, "", 1764),
        ({}, "?chain=1764", 1764),
        ({CHAIN: "1764"}, "?chain=1764", 1764),
        ({CHAIN: str(ACME)}, "", ACME),
    ):
        response = await client.get(f"/tasks/1{query}", headers=as_(who, **headers))
        assert response.json()["chain"] == chain
    both = await client.get(f"/tasks/1?chain={ACME}", headers=as_(who, **{CHAIN: "1764"}))
    assert both.json() == NOT_FOUND
    assert await numbers(client, who) == [(1764, 1), (ACME, 2), (ACME, 1)]


async def test_of_several_chains_one_s_task_goes_first_that_was_created_here(
    client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    for tenant in ("acme", DEFAULT_TENANT):
        await tasks.start(tenant=tenant)
    found = await client.get("/tasks/1", headers=as_("service"))
    assert found.json()["chain"] == (await tasks.service.tenants.numbers([DEFAULT_TENANT]))[DEFAULT_TENANT]
    assert (await client.post("/tasks", json=body(chain=1764), headers=as_("service"))).status_code == 201
    assert (await client.get("/tasks/1", headers=as_("service"))).json()["chain"] == 1764
    assert (await client.post("/tasks", json=body(chain=1765), headers=as_("service"))).status_code == 201
    assert (await client.get("/tasks/1", headers=as_("service"))).status_code == 409


async def test_a_service_with_a_chain_of_its_own_means_that(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    await tasks.start(tenant="acme")
    await tasks.start(tenant="1764")
    assert await numbers(client, "homely") == [(ACME, 1)]
    assert (await client.get("/tasks/1", headers=as_("homely"))).json()["chain"] == ACME
    assert await numbers(client, "homely", "?chain=1764") == [(1764, 1)]


@pytest.mark.parametrize("chain", ["acme", "", "1.5", "-1"])
async def test_a_session_in_what_is_no_chain_has_no_rights(chain: str, client: httpx2.AsyncClient) -> None:
    for response in (
        await client.get("/tasks/1", headers=as_("one", **{CHAIN: chain})),
        await client.get("/tasks", headers=as_("one", **{CHAIN: chain})),
        await client.post("/tasks", json=body(), headers=as_("one", **{CHAIN: chain})),
    ):
        assert (response.status_code, response.json()) == (403, NOT_ALLOWED)


async def test_who_is_not_known_is_told_so(client: httpx2.AsyncClient) -> None:
    for headers in ({}, as_("stranger")):
        response = await client.get("/tasks/1", headers=headers)
        assert (response.status_code, response.json()) == (401, NOT_ALLOWED)
        assert response.headers["www-authenticate"] == "Bearer"


KEY = f"mp_{ID}_{SECRET}"


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ({"authorization": f"Bearer {ID}:{SECRET}"}, KEY),
        ({"authorization": f"bearer {ID}:{KEY}"}, KEY),
        ({"authorization": f"Bearer {KEY}"}, KEY),
        ({"authorization": "Basic eDp5"}, None),
        ({"x-spaaza-session-user-id": ID, "x-spaaza-session-key": SECRET}, KEY),
        ({"x-spaaza-session-key": KEY}, KEY),
        ({"x-spaaza-session-user-id": ID}, None),
        ({"x-spaaza-session-user-id": ID, "x-spaaza-session-key": ""}, None),
        ({"x-spaaza-session-key": SECRET}, f"mp__{SECRET}"),
        ({"authorization": f"Bearer {ID}:{SECRET}", "x-spaaza-session-key": KEY}, KEY),
        ({"authorization": "Basic eDp5", "x-spaaza-session-key": KEY}, KEY),
        ({}, None),
    ],
)
def test_a_key_is_shown_in_its_two_parts(headers: Mapping[str, str], shown: str | None) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert Services().credentials(Request({"type": "http", "headers": raw})) == shown


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Bearer a:b"), ("x-spaaza-session-key", KEY)],
        [("authorization", f"Bearer {KEY}"), ("x-spaaza-session-user-id", ID), ("x-spaaza-session-key", "x")],
        [("x-spaaza-session-key", KEY), ("x-spaaza-session-key", KEY)],
        [("x-spaaza-session-user-id", ID), ("x-spaaza-session-user-id", "x"), ("x-spaaza-session-key", SECRET)],
    ],
)
def test_who_shows_two_keys_is_refused(headers: list[tuple[str, str]]) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    with pytest.raises(Malformed, match=r"X-Spaaza-Session-(Key|User-Id): This "):
        Services().credentials(Request({"type": "http", "headers": raw}))


async def test_an_address_of_a_file_is_only_for_who_may_see_it(service: Service, tasks: Tasks) -> None:
    await tasks.with_file(b"x")  # in the default tenant
    PEOPLE["default"] = someone("default", ("default", Role.MEMBER))
    async with in_memory(http_app(service, Services(), authenticator=Known())) as client:
        assert (await client.get("/tasks/1/download_url", headers=as_("default"))).status_code == 200
        assert (await client.get("/tasks/1/download_url", headers=as_("one"))).json() == NOT_FOUND


# Keys.


async def shown(service: Service, name: str, *grants: str) -> tuple[dict[str, str], dict[str, str]]:
    """A new key, as a token and as a session."""
    _, key = await service.keys.add(name, grants)
    _, identity, secret = key.split("_")
    token = {"authorization": f"Bearer {identity}:{secret}"}
    return token, {"x-spaaza-session-user-id": identity, "x-spaaza-session-key": secret}


async def test_a_key_works_as_a_token_and_as_a_session(service: Service, tasks: Tasks) -> None:
    async with in_memory(http_app(service, Services())) as client:
        assert (await client.post("/tasks", json=body())).status_code == 201, "without keys everybody may"
        token, session = await shown(service, "ann", "1764:member")
        assert (await client.get("/tasks/1")).json() == NOT_ALLOWED
        wrong = {"authorization": token["authorization"][:-1] + ("0" if token["authorization"][-1] != "0" else "1")}
        for headers in (
            wrong,
            {"x-spaaza-session-key": session["x-spaaza-session-key"]},
            {"authorization": "Bearer :"},
        ):
            response = await client.get("/tasks/1", headers=headers)
            assert (response.status_code, response.json()) == (401, NOT_ALLOWED)
        for headers in (token, session, session | {"x-spaaza-session-chain-id": "1764"}):
            assert (await client.get("/tasks/1", headers=headers)).json()["chain"] == 1764
            made = await client.post("/tasks", json=body(), headers=headers)
            assert made.status_code == 201
            assert (await client.post("/tasks", json=body(chain=7), headers=headers)).json() == NOT_ALLOWED
        elsewhere = session | {"x-spaaza-session-chain-id": "7"}
        assert (await client.get("/tasks/1", headers=elsewhere)).json() == NOT_FOUND


async def test_where_keys_are_asked_for_the_url_of_a_file_is_enough(service: Service, tasks: Tasks) -> None:
    await tasks.with_file(b"x")
    token, _ = await shown(service, "ann", "default:user")
    member, _ = await shown(service, "eve", "default:member", "7:admin")
    async with in_memory(http_app(service, Services())) as client:
        assert (await client.get("/tasks/1/download_url", headers=token)).json() == NOT_FOUND
        url = (await client.get("/tasks/1/download_url", headers=member)).json()["url"]
        assert (await client.get(url)).content == b"x"
