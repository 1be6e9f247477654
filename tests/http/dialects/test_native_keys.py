"""Keys of a tenant, managed by its admins."""

import re

import httpx2
import pytest
from msgspec.structs import replace

from milepost import times
from milepost.access.limits import Limits
from milepost.service import Service
from tests.http.conftest import Clock, http_app, in_memory

KEY = re.compile(r"mp_([0-9a-f]{16})_[0-9a-f]{64}")


def shows(secret: str) -> dict[str, str]:
    """The headers that show a key."""
    return {"authorization": f"Bearer {secret}"}


@pytest.fixture
async def admin(service: Service) -> dict[str, str]:
    """Who shows the key of an admin."""
    return shows((await service.keys.add("root", ["acme:admin"]))[1])


async def test_a_key_is_made_and_shown_once(client: httpx2.AsyncClient, admin: dict[str, str], clock: Clock) -> None:
    clock.stand_at("2026-04-17T14:30:02Z")
    body = {"name": "ada", "grants": ["acme:user", "acme:member"], "display_name": "Ada", "profile": "node"}
    answer = await client.post("/v1/keys", json={**body, "expires_at": "2026-07-01T00:00:00Z"}, headers=admin)
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    made = answer.json()
    secret = made.pop("key")
    (key_id,) = KEY.findall(secret)
    assert made == {
        "id": key_id,
        **body,
        "created_at": "2026-04-17T14:30:02.000000Z",
        "last_used_at": None,
        "expires_at": "2026-07-01T00:00:00.000000Z",
        "revoked_at": None,
        "replaced_by": None,
    }
    assert (await client.get("/v1/tasks", headers=shows(secret))).status_code == 200
    listed = await client.get("/v1/keys", headers=admin)
    assert listed.json()["keys"][1] == made
    assert "mp_" not in listed.text
    clock.stand_at("2026-07-01T00:00:00Z")
    assert (await client.get("/v1/tasks", headers=shows(secret))).status_code == 401


async def test_a_key_is_rotated_and_revoked(client: httpx2.AsyncClient, admin: dict[str, str]) -> None:
    first = (await client.post("/v1/keys", json={"name": "ada", "grants": ["acme:user"]}, headers=admin)).json()
    rotated = await client.post(f"/v1/keys/{first['id']}/rotate", headers=admin)
    second = rotated.json()
    assert (rotated.status_code, second["name"], second["grants"]) == (201, "ada", ["acme:user"])
    assert [(await client.get("/v1/tasks", headers=shows(made["key"]))).status_code for made in (first, second)] == [
        200,
        200,
    ]
    third = (await client.post(f"/v1/keys/{second['id']}/rotate", json={"grace": "0s"}, headers=admin)).json()
    assert (await client.get("/v1/tasks", headers=shows(second["key"]))).status_code == 401
    revoked = await client.delete(f"/v1/keys/{third['id']}", headers=admin)
    assert (revoked.status_code, "key" in revoked.json()) == (200, False)
    assert times.from_rfc3339(revoked.json()["revoked_at"]) <= times.now()
    assert (await client.get("/v1/tasks", headers=shows(third["key"]))).status_code == 401
    keys = (await client.get("/v1/keys", headers=admin)).json()["keys"]
    assert [key["replaced_by"] for key in keys] == [None, second["id"], third["id"], None]


async def test_what_is_wrong_is_named(client: httpx2.AsyncClient, admin: dict[str, str]) -> None:
    wrong = {"name": "local", "grants": ["acme:user", "acme:owner"], "expires_at": "2020-01-01T00:00:00Z"}
    answer = await client.post("/v1/keys", json=wrong, headers=admin)
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/name", "/grants/1", "/expires_at"]
    for body in ({"name": "ada"}, {"name": "ada", "grants": "acme:user"}, {"name": "a", "grants": [], "x": 1}):
        assert (await client.post("/v1/keys", json=body, headers=admin)).status_code == 422


@pytest.mark.parametrize("grant", ["acme:user", "acme:member", "beta:admin"])
async def test_others_manage_no_keys_of_the_tenant(
    grant: str, client: httpx2.AsyncClient, service: Service, admin: dict[str, str]
) -> None:
    (key,) = [key async for key in service.keys.all()]
    asker = shows((await service.keys.add("asker", [grant]))[1])
    answers = [
        await client.get("/v1/keys", headers=asker),
        await client.post("/v1/keys", json={"name": "a", "grants": ["acme:user"]}, headers=asker),
        await client.delete(f"/v1/keys/{key.id}", headers=asker),
        await client.delete(f"/v1/keys/{'0' * 16}", headers=asker),
        await client.post(f"/v1/keys/{key.id}/rotate", headers=asker),
        await client.post(f"/v1/keys/{'0' * 16}/rotate", headers=asker),
    ]
    statuses = [answer.status_code for answer in answers]
    assert statuses == ([200, 403, 404, 404, 404, 404] if grant == "beta:admin" else [403] * 6)
    for one, other in ((answers[2], answers[3]), (answers[4], answers[5])):
        assert (one.content, one.headers) == (other.content, other.headers)
    assert key.id not in answers[0].text
    assert (await anext(service.keys.all())).is_valid(times.now())


async def test_nobody_manages_keys_who_shows_none(client: httpx2.AsyncClient, service: Service) -> None:
    """What is made while everybody on this machine may do everything would outlast that."""
    answer = await client.post("/v1/keys", json={"name": "mallory", "grants": ["*:service"]})
    assert (answer.status_code, "milepost key add" in answer.json()["detail"]) == (403, True)
    assert [key async for key in service.keys.all()] == []
    assert (await client.get("/v1/keys")).status_code == 403


async def test_keys_are_listed_a_page_at_a_time(
    client: httpx2.AsyncClient, service: Service, admin: dict[str, str]
) -> None:
    """A page has as many of the keys that one manages as were asked for, whatever others have."""
    made = [(await service.keys.add("root", ["acme:admin"]))[0].id for _ in range(4)]
    for _ in range(3):
        await service.keys.add("other", ["beta:admin"])
    last, _ = await service.keys.add("root", ["acme:user"])
    pages = [(await client.get("/v1/keys?limit=2", headers=admin)).json()]
    while pages[-1]["next"] is not None:
        pages.append((await client.get(f"/v1/keys?limit=2&after={pages[-1]['next']}", headers=admin)).json())
    assert [len(page["keys"]) for page in pages] == [2, 2, 2]
    assert [key["id"] for page in pages for key in page["keys"]][1:] == [*made, last.id]
    for wrong in ("limit=0", "limit=1001", "limit=x", "after=x", "after=", "page=2"):
        answer = await client.get(f"/v1/keys?{wrong}", headers=admin)
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, wrong.split("=")[0]), wrong
    assert (await client.get("/v1/keys?limit=1000", headers=admin)).json() == (
        await client.get("/v1/keys", headers=admin)
    ).json()


async def test_a_page_of_keys_has_a_hundred(
    client: httpx2.AsyncClient, service: Service, admin: dict[str, str]
) -> None:
    (key,) = (await service.keys.page(limit=1)).keys
    await service.store.add_keys([replace(key, id=f"{number:016}") for number in range(100)])
    page = (await client.get("/v1/keys", headers=admin)).json()
    assert (len(page["keys"]), page["next"] is None) == (100, False)


async def test_a_tenant_has_as_many_keys_as_it_may(full: Service) -> None:
    async with in_memory(http_app(full)) as client:
        _, own = await full.keys.add("root", ["acme:admin"])
        headers, body = shows(own), {"name": "ada", "grants": ["acme:user"]}
        ada = (await client.post("/v1/keys", json=body, headers=headers)).json()
        refusals = [
            await client.post("/v1/keys", json=body, headers=headers),
            await client.post(f"/v1/keys/{ada['id']}/rotate", json={"grace": "1s"}, headers=headers),
        ]
        for answer in refusals:
            assert answer.json() == {
                "type": "/problems/too-many-keys",
                "title": "The tenant has as many keys as it may",
                "status": 409,
                "detail": "The tenant 'acme' has as many valid keys as it may, 2: revoke one first, or rotate one "
                "without a grace.",
            }
            assert "retry-after" not in answer.headers, "no time changes it"
        rotated = await client.post(f"/v1/keys/{ada['id']}/rotate", json={"grace": "0s"}, headers=headers)
        assert rotated.status_code == 201
        await client.delete(f"/v1/keys/{rotated.json()['id']}", headers=headers)
        assert (await client.post("/v1/keys", json=body, headers=headers)).status_code == 201


async def test_a_tenant_s_keys_are_no_others_and_whoever_has_the_store_makes_more(full: Service) -> None:
    for _ in range(3):
        await full.keys.add("root", ["acme:admin"])
    _, service = await full.keys.add("ops", ["*:service"])
    async with in_memory(http_app(full)) as client:
        statuses = [
            (await client.post("/v1/keys", json={"name": "x", "grants": grants}, headers=shows(service))).status_code
            for grants in (["beta:user"], ["beta:user", "acme:user"], ["beta:user"], ["beta:user"])
        ]
        assert statuses == [201, 409, 201, 409]


@pytest.fixture
def full(service: Service) -> Service:
    """A service whose tenants have up to two keys."""
    return Service(service.store, service.files, clock=service.clock, limits=Limits(keys=2))
