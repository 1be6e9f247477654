"""Real servers with a real certificate, or behind a proxy that has one, and real clients of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from milepost.cli.exits import Exit
from milepost.client.aparavi import AparaviDTC, TaskNotFound
from milepost.client.trust import trusted

from .authority import Authority
from .conftest import Command
from .processes import Server
from .proxy import Proxy
from .reverse import ADDRESS, Reverse, Says, reverse

HUSH = "mp_0123456789abcdef_" + "5" * 64


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Server]:
    """One that speaks TLS."""
    chain, key = authority.files()
    folder = tmp_path_factory.mktemp("server")
    server = Server(folder, "--tls-cert", chain, "--tls-key", key, ca=authority.file)
    yield server
    assert server.stop() == 0


def test_it_says_where_it_is(server: Server) -> None:
    assert server.url == f"https://127.0.0.1:{server.port}"
    assert server.banner.endswith(f"--url {server.url}")


def test_the_whole_way_of_a_task(server: Server, authority: Authority, command: Command) -> None:
    options = ("--url", f"https://localhost:{server.port}", "--ca", authority.file)
    started = command("start", "echo", "text=hello", "--watch", *options)
    assert started.code == 0, started.err
    task_id = started.out.split()[0]
    assert json.loads(command("result", task_id, *options).out)["text"] == "hello"
    assert command("get", task_id, *options).code == 0
    assert command("pause", "--type", "note", *options).code == 0
    assert command("resume", "--type", "note", *options).code == 0
    assert command("rm", "-y", task_id, *options).code == 0


@pytest.mark.parametrize("variable", ["MILEPOST_CA", "SSL_CERT_FILE"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_the_authority_can_be_named_by_a_variable(
    host: str,
    variable: str,
    server: Server,
    authority: Authority,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, str(authority.file))
    outcome = command("types", "--url", f"https://{host}:{server.port}")
    assert outcome.code == 0, outcome.err


def test_a_certificate_of_nobody_known_is_not_believed(server: Server, command: Command) -> None:
    outcome = command("types", "--url", server.url)
    assert outcome.code == Exit.UNREACHABLE
    assert outcome.err.startswith(f"milepost: The certificate that {server.url} shows is not one to believe (")
    assert outcome.err.endswith("name that by --ca or SSL_CERT_FILE.\n")


def test_a_certificate_of_another_name_is_not_believed_until_it_is_renewed(tmp_path: Path, command: Command) -> None:
    authority = Authority(tmp_path)
    chain, key = authority.files("tasks.example")
    server = Server(tmp_path, "--no-worker", "--tls-cert", chain, "--tls-key", key, ca=authority.file)
    try:
        options = ("--url", server.url, "--ca", authority.file)
        outcome = command("types", *options)
        assert outcome.code == Exit.UNREACHABLE
        assert "is not one to believe" in outcome.err
        authority.files()
        assert command("types", *options).code == 0
        assert [line["event"] for line in server.logged()].count("The certificate was renewed") == 1
    finally:
        assert server.stop() == 0


def test_plain_http_is_not_answered_there(server: Server) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        httpx2.get(f"http://127.0.0.1:{server.port}/healthz")


def test_aparavi_s_client_believes_the_same(
    server: Server, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with AparaviDTC("", server.url) as client:
        client.token, client.type = str(uuid4()), "cpu"
        with pytest.raises(TaskNotFound):
            client.get_task()


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that believes a proxy on this machine."""
    server = Server(tmp_path_factory.mktemp("behind"), "--trusted-proxy", f"{ADDRESS}/32")
    yield server
    assert server.stop() == 0


@pytest.fixture(params=["x", "rfc"])
def proxy(request: pytest.FixtureRequest, behind: Server, authority: Authority) -> Iterator[Reverse]:
    says: Says = request.param
    with reverse(behind.port, authority, says=says) as proxy:
        yield proxy


def test_the_command_line_works_through_a_proxy(proxy: Reverse, authority: Authority, command: Command) -> None:
    options = ("--url", proxy.url, "--ca", authority.file)
    started = command("start", "echo", "text=hello", "--watch", *options)
    assert started.code == 0, started.err
    task_id = started.out.split()[0]
    assert json.loads(command("result", task_id, *options).out)["text"] == "hello"


def check_links(url: str, authority: Authority) -> None:
    """That what answers lead to is there, from outside."""
    with httpx2.Client(verify=trusted(authority.file), timeout=60) as client:
        made = client.post(f"{url}/v1/tasks", json={"type": "blob", "input": {"size": 5000}})
        location = httpx2.URL(url).join(made.headers["location"])
        assert str(location) == f"{url}/v1/tasks/{made.json()['id']}"
        record = client.get(location, params={"wait": 60, "version": 0}).json()
        while record["state"] != "succeeded":
            record = client.get(location, params={"wait": 60}).json()
        assert len(client.get(location.join(record["result"]["url"])).content) == 5000
        link = client.get(f"{url}/api/v1/tasks/{record['id']}").json()["payload"]["data"]["url"]
        assert link.startswith(f"{url}/results/")
        assert len(client.get(link).content) == 5000
        assert client.get(f"{url}/openapi.json").json()["servers"] == [{"url": "/ops"}]


def test_links_lead_through_a_proxy(proxy: Reverse, authority: Authority) -> None:
    check_links(proxy.url, authority)


def test_who_asks_is_what_the_proxy_says(proxy: Reverse, authority: Authority) -> None:
    own, other = ("forwarded", "x-forwarded-for") if proxy.says == "rfc" else ("x-forwarded-for", "forwarded")
    words = {"forwarded": "for=203.0.113.9;host=evil.example;proto=http", "x-forwarded-for": "203.0.113.9"}
    with httpx2.Client(verify=trusted(authority.file), base_url=proxy.url) as client:
        assert client.get("/v1/types", headers={own: words[own]}).status_code == 200
        assert client.get("/v1/types", headers={other: words[other]}).status_code == 400


def test_links_lead_through_a_proxy_that_says_nothing(tmp_path: Path, authority: Authority) -> None:
    with reverse(0, authority, says="nothing", inner="localhost") as proxy:
        server = Server(tmp_path, "--public-url", proxy.url + "/")
        try:
            proxy.port = server.port
            assert server.url == proxy.url
            check_links(proxy.url, authority)
        finally:
            assert server.stop() == 0


def test_a_key_is_not_sent_in_the_clear(command: Command, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_KEY", HUSH)
    with Proxy(server.port) as proxy:
        port = proxy.url.rpartition(":")[2]
        for url in ("http://tasks.example", f"http://0.0.0.0:{port}", f"http://localhost.example:{port}"):
            outcome = command("types", "--url", url)
            assert outcome.code == Exit.USAGE
            assert outcome.err.startswith("milepost: --url: The key is not sent to ")
            assert HUSH not in outcome.err
        assert proxy.connections == 0


def test_an_authority_that_can_t_be_read(command: Command, tmp_path: Path) -> None:
    there_is_none = tmp_path / "none.pem"
    outcome = command("types", "--url", "https://127.0.0.1:1", "--ca", there_is_none)
    told = f"milepost: --ca: {there_is_none} can't be used (No such file or directory).\n"
    assert (outcome.code, outcome.err) == (Exit.USAGE, told)
