"""The first command of README, with a small ledger."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.processes import Server, Terminal, environment
from tests.cli.test_remote import free_port

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "scripts" / "demo"
ROWS = 10_000


@pytest.fixture
def demo(tmp_path: Path) -> dict[str, str]:
    """What the script is told, with a ledger that is there already."""
    ledger = tmp_path / "ledger.db"
    subprocess.run([sys.executable, ROOT / "examples" / "ledger.py", ledger, "--rows", str(ROWS)], check=True)
    return environment(DEMO=str(tmp_path), MILEPOST_PORT=str(free_port()))


def test_it_exports_and_ends(demo: dict[str, str]) -> None:
    done = subprocess.run([DEMO, "--once"], env=demo, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert f"succeeded  100 %  {ROWS:,} of {ROWS:,}" in done.stdout
    file = Path(demo["DEMO"], "Wallet_Export-1.csv")
    assert file.read_text().splitlines()[0] == "id,booked_at,wallet,kind,amount,currency,status,note"
    assert f"{file.stat().st_size} bytes" in done.stdout
    for word in ('"status":"Success"', '"code":"DONE"', '"status":"Completed"', '"status":"completed"', '"orgId"'):
        assert word in done.stdout
    assert {path.name for path in file.parent.iterdir()} >= {"files", "ledger.db", "milepost.db"}
    assert not Path(demo["DEMO"], "ready").exists()


def test_it_serves_until_ctrl_c(demo: dict[str, str]) -> None:
    terminal = Terminal(command=[DEMO], env=demo)
    terminal.read_until("Ctrl-C stops the service")
    url = f"http://127.0.0.1:{demo['MILEPOST_PORT']}"
    assert f"curl {url}/v1/tasks/" in terminal.screen
    terminal.type("\x03")
    assert terminal.end() == 0


def test_a_port_that_is_taken(demo: dict[str, str], server: Server) -> None:
    taken = demo | {"MILEPOST_PORT": str(server.port)}
    done = subprocess.run([DEMO], env=taken, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert f"--port: {server.port} is in use" in done.stderr
