import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from milepost.app import Milepost
from milepost.cli.dialects import AparaviProfile, choose
from milepost.cli.exits import CommandError
from milepost.http.dialects.aparavi import Aparavi
from milepost.http.dialects.known import NAMES
from milepost.http.dialects.native import Native

from .conftest import Command
from .processes import JOBS, Server


@contextmanager
def serving(folder: Path, file: Path, *options: str) -> Iterator[Server]:
    server = Server(folder, *options, files=[file])
    try:
        yield server
    finally:
        assert server.stop() == 0


def spoken(app: Milepost) -> list[str]:
    return [dialect.name for dialect in app.dialects or ()]


def test_all_are_spoken_where_nobody_says_otherwise(tmp_path: Path) -> None:
    app = Milepost(tmp_path / "x.db")
    choose(app, None, None, None, None)
    assert spoken(app) == list(NAMES)


def test_those_are_spoken_that_are_named(tmp_path: Path) -> None:
    app = Milepost(tmp_path / "x.db")
    choose(app, ["quant", "native"], None, None, None)
    assert spoken(app) == ["native", "quant"]


def test_files_may_say_it_themselves(tmp_path: Path) -> None:
    app = Milepost(tmp_path / "x.db", dialects=[Native()])
    choose(app, None, None, None, None)
    assert spoken(app) == ["native"]


@pytest.mark.parametrize(
    ("names", "profile", "path_map", "caller", "option"),
    [
        (["quant"], None, None, None, "--dialect"),
        (None, "node", None, None, "--aparavi"),
        (None, None, ["/a=b"], None, "--path-map"),
        (None, None, None, "coins@wallets", "--cloudcoin"),
    ],
)
def test_either_files_or_options_say_it(
    tmp_path: Path,
    names: list[str] | None,
    profile: AparaviProfile,
    path_map: list[str] | None,
    caller: str | None,
    option: str,
) -> None:
    with pytest.raises(CommandError, match=f"{option}: the files say themselves which dialects"):
        choose(Milepost(tmp_path / "x.db", dialects=[Aparavi()]), names, profile, path_map, caller)


def test_a_name_of_none_is_told_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="--dialect: There is no dialect 'esperanto'; there are native, metavault"):
        choose(Milepost(tmp_path / "x.db"), ["esperanto"], None, None, None)


@pytest.mark.parametrize("pair", ["", "documents", "=documents", "/data/source="])
def test_a_path_map_has_two_sides(tmp_path: Path, pair: str) -> None:
    with pytest.raises(CommandError, match=r"--path-map: .* is no PATH=DIR, such as"):
        choose(Milepost(tmp_path / "x.db"), None, None, [pair], None)


def test_a_caller_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="--cloudcoin: 'wallets' is no NAME@TENANT, such as coins@wallets"):
        choose(Milepost(tmp_path / "x.db"), None, None, None, "wallets")


def test_a_server_takes_cloudcoin_s_clients_for_whom_it_is_told(tmp_path: Path, command: Command) -> None:
    with serving(tmp_path, JOBS, "--no-worker", "--cloudcoin", "coins@wallets") as server:
        secret = command("key", "add", "ann", "--grant", "wallets:member", "--store", server.store).out.strip()
        begun = httpx2.post(f"{server.url}/api/v1/echo").json()["payload"]["id"]
        assert httpx2.get(f"{server.url}/api/v1/tasks/{begun}").json()["payload"]["status"] == "running"
        assert httpx2.get(f"{server.url}/v1/tasks/{begun}").status_code == 401
        task = httpx2.get(f"{server.url}/v1/tasks/{begun}", headers={"authorization": f"Bearer {secret}"}).json()
        assert (task["owner"], task["tenant"]) == ("coins", "wallets")


def test_a_server_speaks_as_it_is_told(tmp_path: Path) -> None:
    options = ("--no-worker", "--dialect", "native", "--dialect", "aparavi", "--aparavi", "python")
    with serving(tmp_path, JOBS, *options) as server:
        assert httpx2.get(f"{server.url}/openapi/aparavi.json").status_code == 200
        assert httpx2.get(f"{server.url}/openapi/quant.json").status_code == 404
        unknown = httpx2.get(f"{server.url}/task", params={"token": "0" * 32, "type": "cpu"})
        assert (unknown.status_code, unknown.json()["status"]) == (200, "Error")


def test_a_server_takes_the_paths_that_clients_publish(tmp_path: Path) -> None:
    pipeline = Path(__file__).parents[2] / "examples" / "pipeline.py"
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "a.txt").write_text("three short words")
    source = {"name": "source", "provider": "file", "config": {"path": "/data/source"}}
    with serving(tmp_path, pipeline, "--path-map", "/data/source=inbox") as server:
        started = httpx2.put(f"{server.url}/task", json={"pipeline": {"components": [source]}}).json()["data"]
        task = httpx2.get(f"{server.url}/v1/tasks").json()["tasks"][0]
        task = httpx2.get(f"{server.url}/v1/tasks/{task['id']}?wait=30&version={task['version']}").json()
        while task["finished_at"] is None:
            task = httpx2.get(f"{server.url}/v1/tasks/{task['id']}?wait=30&version={task['version']}").json()
        data = httpx2.get(f"{server.url}/task", params=started).json()["data"]
        assert (data["status"], data["files_processed"]) == ("Completed", 1), json.dumps(data)
        assert data["metadata"]["source_path"] == "/data/source"
