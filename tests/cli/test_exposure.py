from pathlib import Path
from socket import socket
from typing import Any

import pytest

from milepost.app import Milepost
from milepost.cli import server, sockets
from milepost.cli.exits import CommandError, Exit
from milepost.cli.exposure import exposure
from milepost.http.dialects.known import dialects
from milepost.service import Service

from .authority import Authority
from .conftest import Command
from .processes import JOBS

BEYOND = ("0.0.0.0", "::", "192.0.2.5")


def refused(host: str, **options: Any) -> str:
    with pytest.raises(CommandError) as caught:
        exposure(host, **options)
    assert caught.value.code is Exit.USAGE
    return str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_this_machine_needs_nothing(host: str) -> None:
    found = exposure(host)
    assert (found.is_beyond, found.certificate, found.open_mode) == (False, None, None)
    found.check_store(is_open=True)
    assert exposure(host, no_auth=True).open_mode is not None


@pytest.mark.parametrize("host", BEYOND)
def test_what_others_can_reach_is_not_to_be_read_on_the_way(host: str, tmp_path: Path) -> None:
    told = refused(host)
    assert told.startswith(f"--host: {host} can be reached by others, and plain HTTP can be read on the way.")
    assert refused(host, public_url="https://tasks.example") == told
    chain, key = Authority(tmp_path).files()
    for options in ({"tls_cert": chain, "tls_key": key}, {"trusted_proxies": ["10.0.0.1"]}, {"insecure_http": True}):
        assert exposure(host, **options).is_beyond


@pytest.mark.parametrize("host", BEYOND)
def test_what_others_can_reach_needs_a_key(host: str) -> None:
    found = exposure(host, insecure_http=True)
    found.check_store(is_open=False)
    with pytest.raises(CommandError, match=r"no key was made yet: all of them could do everything\. Make one first"):
        found.check_store(is_open=True)


@pytest.mark.parametrize("host", BEYOND)
def test_without_keys_it_takes_a_proxy_that_knows_whom_it_lets_in(host: str, tmp_path: Path) -> None:
    chain, key = Authority(tmp_path).files()
    for options in (
        {"insecure_http": True},
        {"tls_cert": chain, "tls_key": key, "public_url": "https://tasks.example"},
        {"trusted_proxies": ["10.0.0.1"]},
    ):
        told = refused(host, no_auth=True, **options)
        assert told.startswith(f"--no-auth: {host} can be reached by others, who could do everything.")
    found = exposure(host, no_auth=True, trusted_proxies=["10.0.0.1"], public_url="https://tasks.example:8443/ops/")
    assert found.open_mode is not None
    assert found.open_mode.trusts_proxies
    assert found.public_url == "https://tasks.example:8443/ops"
    found.check_store(is_open=True)


def test_options_that_make_no_sense(tmp_path: Path) -> None:
    assert refused("localhost", tls_key=tmp_path) == "--tls-key: goes with --tls-cert."
    assert refused("localhost", trusted_proxies=["proxy"]).startswith("--trusted-proxy: 'proxy' is no address")
    assert refused("localhost", public_url="tasks.example").startswith("--public-url: 'tasks.example' is not a URL")
    assert refused("tasks.example").startswith("--host: 'tasks.example' is not an address")


@pytest.mark.parametrize("path", ["tasks", "v1", "docs", "v1/deeper"])
def test_a_public_path_that_begins_like_one_of_ours_is_ambiguous(path: str, tmp_path: Path) -> None:
    web = Milepost(tmp_path / "x.db").asgi(dialects())
    found = exposure("localhost", public_url=f"https://a.example/{path}")
    with pytest.raises(CommandError, match=rf"--public-url: its path begins with /{path[:2]}") as caught:
        found.check_paths(web.beginnings)
    assert caught.value.code is Exit.USAGE
    for url in (None, "https://a.example", "https://a.example/", "https://a.example/ops/tasks"):
        exposure("localhost", public_url=url).check_paths(web.beginnings)


def test_serve_refuses_before_it_listens(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def listen(host: str, port: int) -> list[socket]:
        raise AssertionError("it listens")

    monkeypatch.setattr("milepost.cli.serve.listen", listen)
    outcome = command("serve", JOBS, "--store", tmp_path / "x.db", "--host", "0.0.0.0")
    assert outcome.code == Exit.USAGE
    assert "plain HTTP can be read on the way" in outcome.err
    assert not (tmp_path / "x.db").exists()


def test_an_open_store_is_not_served_to_others(tmp_path: Path) -> None:
    app = Milepost(tmp_path / "x.db")
    bound = sockets.listen("127.0.0.1", 0)  # as if others could reach it
    options: dict[str, Any] = {"grace": 1, "access_log": False, "exposed": exposure("0.0.0.0", insecure_http=True)}
    try:
        with pytest.raises(CommandError, match="no key was made yet") as caught:
            server.run(app, bound, None, on_ready=lambda _: pytest.fail("it is served"), **options)
        assert caught.value.code is Exit.USAGE
    finally:
        bound[0].close()


async def test_the_store_is_there_for_the_first_key(tmp_path: Path) -> None:
    app = Milepost(tmp_path / "x.db")
    async with app.opened() as service:
        assert isinstance(service, Service)
        await service.keys.add("ada", ["acme:user"])
        web = app.asgi()
        exposure("0.0.0.0", insecure_http=True).check_store(is_open=await web.is_open())
