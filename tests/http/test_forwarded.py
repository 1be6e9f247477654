from collections.abc import Mapping
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount

from milepost.errors import Malformed
from milepost.http.app import HttpApp
from milepost.http.dialects.known import dialects
from milepost.http.dialects.native import Native
from milepost.http.forwarded import PUBLIC, VOUCHED, Forwarding, PublicUrl, parse_public_url
from milepost.http.open_mode import OpenMode
from milepost.service import Service

from .conftest import Tasks, http_app
from .dialects.addresses import TENANT, paths

PROXY = "10.1.2.3"
FAR = "203.0.113.9"
OWN = {"client": (PROXY, 1234), "scheme": "http", "headers": [(b"host", b"inner:8006")], "root_path": ""}


def scope_of(client: str | None = PROXY, /, **headers: str) -> dict[str, Any]:
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return OWN | {"client": client and (client, 1234), "headers": [(b"host", b"inner:8006"), *raw]}


def seen(forwarding: Forwarding, scope: dict[str, Any]) -> tuple[str, str, str, str]:
    """Client, scheme, host and prefix, as they are from then on."""
    assert forwarding(scope) is None
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    return scope["client"][0], scope["scheme"], b",".join(hosts).decode(), scope["root_path"]


def by_x(**said: str) -> dict[str, Any]:
    return scope_of(PROXY, **{f"x_forwarded_{name}": value for name, value in said.items()})


TRUSTED = Forwarding(["10.0.0.0/8", "2001:db8::/32"])


def test_a_trusted_proxy_is_believed() -> None:
    scope = by_x(**{"for": FAR, "proto": "HTTPS", "host": "Tasks.example:8443", "prefix": "/ops/"})
    assert seen(TRUSTED, scope) == (FAR, "https", "Tasks.example:8443", "/ops")
    assert scope[VOUCHED] is True
    node = '"[2001:db9::7]:4711"'
    scope = scope_of(PROXY, forwarded=f'for={node};Proto=https;host="tasks.example";by=_x', x_forwarded_prefix="/o")
    assert seen(TRUSTED, scope) == ("2001:db9::7", "https", "tasks.example", "/o")


@pytest.mark.parametrize("client", [FAR, "127.0.0.1", "::1", None, "testclient"])
def test_nobody_else_is(client: str | None) -> None:
    for headers in (
        {"x_forwarded_for": "1.2.3.4", "x_forwarded_host": "evil.example", "x_forwarded_proto": "https"},
        {"forwarded": "for=1.2.3.4;host=evil.example;proto=https"},
        {"x_forwarded_prefix": "//evil", "forwarded": "=;", "x_forwarded_for": "1"},
    ):
        scope = scope_of(client, **headers)
        before = scope | {}
        assert TRUSTED(scope) is None
        assert scope == before
        assert Forwarding()(scope) is None
        assert scope == before


def test_what_a_client_has_added_itself_is_passed_over() -> None:
    for chain in (f"127.0.0.1, {FAR}", f"10.9.9.9, {FAR}, 10.3.3.3", f"{FAR}:5555,10.3.3.3:80,[2001:db8::1]:80"):
        assert seen(TRUSTED, by_x(**{"for": chain}))[0] == FAR
        elements = ", ".join(f'for="{node.strip()}"' for node in chain.split(","))
        assert seen(TRUSTED, scope_of(PROXY, forwarded=elements))[0] == FAR
    # Each of two proxies has added what it was asked by; the client's own word stands before theirs.
    said = {"for": f"1.1.1.1, {FAR}, 10.3.3.3", "proto": "http, https, http", "host": "evil, good.example, inner"}
    assert seen(TRUSTED, by_x(**said))[:3] == (FAR, "https", "good.example")
    elements = f"for=1.1.1.1;host=evil, for={FAR};proto=https;host=good.example, for=10.3.3.3;host=inner"
    assert seen(TRUSTED, scope_of(PROXY, forwarded=elements))[:3] == (FAR, "https", "good.example")


def test_two_lines_of_a_header_are_one_list() -> None:
    scope = scope_of(PROXY, x_forwarded_for="127.0.0.1")
    scope["headers"].append((b"x-forwarded-for", FAR.encode()))
    assert seen(TRUSTED, scope)[0] == FAR
    scope = scope_of(PROXY, forwarded="for=127.0.0.1")
    scope["headers"].append((b"forwarded", f"for={FAR}".encode()))
    assert seen(TRUSTED, scope)[0] == FAR


def test_what_is_not_said_stays() -> None:
    assert seen(TRUSTED, scope_of()) == (PROXY, "http", "inner:8006", "")
    assert seen(TRUSTED, by_x(**{"for": " , "})) == (PROXY, "http", "inner:8006", "")
    assert seen(TRUSTED, by_x(proto="https")) == (PROXY, "https", "inner:8006", "")
    assert seen(TRUSTED, scope_of(PROXY, forwarded="proto=https")) == (PROXY, "https", "inner:8006", "")
    assert seen(TRUSTED, scope_of(PROXY, forwarded="")) == (PROXY, "http", "inner:8006", "")
    assert seen(TRUSTED, by_x(**{"for": "10.5.5.5"}))[0] == "10.5.5.5"  # all of them are ours
    assert seen(TRUSTED, by_x(**{"for": "unknown"}))[0] == "unknown"
    for proxy in ("10.1.2.3", "::ffff:10.1.2.3", "::ffff:10.0.0.0/104"):
        for client in ("10.1.2.3", "::ffff:10.1.2.3"):
            assert seen(Forwarding([proxy]), scope_of(client, x_forwarded_for=FAR))[0] == FAR


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"x_forwarded_proto": "javascript"}, "X-Forwarded-Proto"),
        ({"x_forwarded_host": "evil.example/path"}, "X-Forwarded-Host"),
        ({"x_forwarded_host": "user@evil.example"}, "X-Forwarded-Host"),
        ({"x_forwarded_prefix": "//evil.example"}, "X-Forwarded-Prefix"),
        ({"x_forwarded_prefix": "/a/../b"}, "X-Forwarded-Prefix"),
        ({"x_forwarded_prefix": "evil"}, "X-Forwarded-Prefix"),
        ({"x_forwarded_prefix": "/a\r\nx: y"}, "X-Forwarded-Prefix"),
        ({"forwarded": "for"}, "Forwarded"),
        ({"x_forwarded_for": "\x1b[2J"}, "X-Forwarded-For"),
        ({"x_forwarded_for": "10.0.0.1 [error] forged"}, "X-Forwarded-For"),
        ({"forwarded": 'for=""'}, "X-Forwarded-For"),
        ({"forwarded": 'for="1.2.3.4'}, "Forwarded"),
        ({"forwarded": f"for={FAR}", "x_forwarded_for": "127.0.0.1"}, "X-Forwarded-For"),
        ({"forwarded": f"for={FAR}", "x_forwarded_host": "evil.example"}, "X-Forwarded-Host"),
    ],
)
def test_what_can_t_be_understood_is_refused(headers: Mapping[str, str], named: str) -> None:
    scope = scope_of(PROXY, **headers)
    before = scope | {}
    error = TRUSTED(scope)
    assert isinstance(error, Malformed)
    assert error.facts["errors"][0].parameter == named
    assert scope == before


@given(st.text(st.characters(max_codepoint=255)), st.sampled_from(["forwarded", "x_forwarded_for", "x_forwarded_host"]))
def test_whatever_is_said_is_understood_or_refused(said: str, name: str) -> None:
    scope = scope_of(PROXY, **{name: said})
    assert isinstance(TRUSTED(scope), Malformed | None)
    assert len([name for name, _ in scope["headers"] if name == b"host"]) == 1


@given(st.lists(st.ip_addresses(v=4).filter(lambda it: it.packed[0] != 10)), st.ip_addresses(v=4), st.integers(0, 3))
def test_only_what_trusted_proxies_have_added_counts(forged: list[Any], client: Any, proxies: int) -> None:
    asked = client if client.packed[0] != 10 else FAR
    chain = [*map(str, forged), str(asked), *[f"10.0.0.{number}" for number in range(proxies)]]
    assert seen(TRUSTED, by_x(**{"for": ", ".join(chain)}))[0] == str(asked)
    assert seen(TRUSTED, scope_of(PROXY, forwarded=", ".join(f"for={one}" for one in chain)))[0] == str(asked)


@pytest.mark.parametrize("network", ["10.0.0.1/8", "proxy.example", "", "10.0.0.0/33"])
def test_what_is_no_network(network: str) -> None:
    with pytest.raises(ValueError, match="is no address and no network like"):
        Forwarding([network])


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://tasks.example.com", ("https://tasks.example.com", "")),
        ("https://tasks.example.com/", ("https://tasks.example.com", "")),
        ("HTTP://Example.com:8080/Ops/v2/", ("http://example.com:8080", "/Ops/v2")),
        ("https://[2001:db8::1]:8443/a", ("https://[2001:db8::1]:8443", "/a")),
    ],
)
def test_public_urls(url: str, parts: tuple[str, str]) -> None:
    assert parse_public_url(url) == PublicUrl(*parts)


@pytest.mark.parametrize(
    "url",
    ["tasks.example.com", "ftp://a", "https://", "https://a?b", "https://a/#b", "https://u@a", "https://a//b", "//a"],
)
def test_what_is_no_public_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"is not a URL like https://tasks\.example\.com"):
        Forwarding(public_url=url)


def asking(app: Any, client: str = "127.0.0.1", **headers: str) -> httpx2.AsyncClient:
    """A client of an application in memory, at this address."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    transport = httpx2.ASGITransport(app, client=(client, 1))
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8006", headers=named)


BEHIND = {
    "x_forwarded_for": "127.0.0.1",
    "x_forwarded_proto": "https",
    "x_forwarded_host": "localhost:8443",
    "x_forwarded_prefix": "/ops",
}
"""What a proxy says to whom a program of this machine came."""
CALLER = {"x_forwarded_for": "127.0.0.1"}
"""What one says that leaves the rest to the public URL."""


@pytest.mark.parametrize("strips", [True, False])
@pytest.mark.parametrize("configured", [True, False])
async def test_links_lead_through_the_proxy_in_every_dialect(
    configured: bool, strips: bool, service: Service, tasks: Tasks
) -> None:
    forwarding = Forwarding(["127.0.0.1"], "https://localhost:8443/ops" if configured else None)
    app: Any = http_app(service, *dialects(), forwarding=forwarding)
    task = await tasks.with_file(b"a,b\n", "r.csv", tenant=TENANT)
    there = await paths(service, task)
    before = "" if strips else "/ops"
    async with asking(app, **(CALLER if configured else BEHIND)) as client:

        async def read(path: str) -> Any:
            return (await client.get(before + path)).json()

        started = await client.post(f"{before}/v1/tasks", json={"type": "export"})
        assert started.headers["location"] == f"/ops/v1/tasks/{started.json()['id']}"
        native, metavault = await read(there["native"]), await read(there["metavault"])
        assert native["result"]["url"] == f"/ops/v1/tasks/{task.id}/result"
        assert metavault["self"] == f"/ops{there['metavault']}"
        assert metavault["_links"]["result"] == f"/ops{there['metavault']}/result"
        links = [
            (await read(f"/tasks/{task.number}/download_url?chain={TENANT}"))["url"],
            (await read(there["cloudcoin"]))["payload"]["data"]["url"],
            (await read(there["quant"]))["result"]["file"]["url"],
        ]
        for link in links:
            assert link.startswith("https://localhost:8443/ops/results/")
            assert (await client.get(before + link.removeprefix("https://localhost:8443/ops"))).text == "a,b\n"
        assert (await read("/openapi.json"))["servers"] == [{"url": "/ops"}]
        assert (await client.get(f"{before}/")).headers["location"] == "/ops/docs"


@pytest.mark.parametrize("configured", [True, False])
async def test_what_is_mounted_keeps_its_place(configured: bool, service: Service) -> None:
    app = http_app(service, forwarding=Forwarding(["127.0.0.1"], "https://a.example/x" if configured else None))
    async with asking(Starlette(routes=[Mount("/operations", app)]), **(CALLER if configured else BEHIND)) as client:
        response = await client.post("/operations/v1/tasks", json={"type": "export"})
        where = "/x" if configured else "/ops/operations"
        assert response.headers["location"] == f"{where}/v1/tasks/{response.json()['id']}"


async def test_a_refusal_is_told_in_the_words_of_whose_path_it_is(service: Service) -> None:
    app = http_app(service, *dialects(), forwarding=Forwarding(["127.0.0.1"]))
    async with asking(app, x_forwarded_proto="gopher") as client:
        response = await client.get("/v1/tasks")
        assert (response.status_code, response.json()["type"]) == (400, "/problems/malformed-request")
        response = await client.get("/tasks/1?chain=1764")
        assert (response.status_code, response.json()["error"]["name"]) == (400, "malformed_request")
        assert (await client.get("/v1/nothing")).status_code == 404


async def test_open_mode_is_for_this_machine_also_behind_a_proxy(service: Service) -> None:
    app = http_app(service, forwarding=Forwarding(["127.0.0.1"]))
    for headers in (
        {"x_forwarded_for": FAR},
        {"x_forwarded_for": "unknown"},
        {"forwarded": f"for={FAR}"},
        {"x_forwarded_proto": "https"},
        {"forwarded": "proto=https"},
        {},  # it may be a proxy that says nothing, and for anybody
    ):
        async with asking(app, **headers) as client:
            assert (await client.get("/v1/tasks")).status_code == 403
    async with asking(app, FAR) as client:
        assert (await client.get("/v1/tasks")).status_code == 403
    async with asking(app, x_forwarded_for="127.0.0.1") as client:
        assert (await client.get("/v1/tasks")).status_code == 200
    _, key = await service.keys.add("ada", ["acme:user"])
    async with asking(app, FAR, authorization=f"Bearer {key}") as client:
        assert (await client.get("/v1/tasks")).status_code == 200


async def test_a_proxy_that_does_not_say_for_whom_it_asks_is_told_so(service: Service) -> None:
    app = http_app(service, forwarding=Forwarding(["127.0.0.1"]))
    async with asking(app) as client:
        assert "does not say for whom it asks (X-Forwarded-For" in (await client.get("/v1/tasks")).json()["detail"]
    async with asking(app, FAR) as client:
        assert "does not say" not in (await client.get("/v1/tasks")).json()["detail"]


@pytest.mark.parametrize("prefix", ["/tasks", "/v1", "/v1/x"])
async def test_a_prefix_like_a_path_of_ours_is_one_that_was_taken_off(prefix: str, service: Service) -> None:
    app: Any = http_app(service, *dialects(), forwarding=Forwarding(["127.0.0.1"]))
    async with asking(app, **BEHIND | {"x_forwarded_prefix": prefix}) as client:
        started = await client.post("/v1/tasks", json={"type": "export"})
        assert started.headers["location"] == f"{prefix}/v1/tasks/{started.json()['id']}"
        assert (await client.get("/tasks", params={"chain": TENANT})).is_success
        assert (await client.get("/v1/types")).status_code == 200


async def test_a_proxy_may_vouch_for_whom_it_lets_in(service: Service) -> None:
    admits = OpenMode(["tasks.example"], trusts_proxies=True)
    app = HttpApp(lambda: service, [Native()], authenticator=admits, forwarding=Forwarding([PROXY]))
    vouched = {"x_forwarded_for": FAR, "x_forwarded_host": "tasks.example"}
    async with asking(app, PROXY, **vouched) as client:
        assert (await client.get("/v1/tasks")).status_code == 200
    async with asking(app, PROXY, **vouched | {"x_forwarded_host": "evil.example"}) as client:
        assert (await client.get("/v1/tasks")).status_code == 421
    async with asking(app, FAR, **vouched) as client:
        assert (await client.get("/v1/tasks")).status_code == 403
    async with asking(app, PROXY) as client:
        assert (await client.get("/v1/tasks")).status_code == 403


def test_the_public_url_is_told_to_each_request() -> None:
    scope = scope_of(FAR)
    assert Forwarding(public_url="https://a.example/b")(scope) is None
    assert (scope[PUBLIC].path, scope["root_path"], scope["client"][0]) == ("/b", "/b", FAR)
