"""Do the agents of the example hand their work on when they are told to in Quant, from creation to result?"""

from pathlib import Path
from typing import Any

from milepost import Milepost
from milepost.access.principal import LOCAL
from milepost.http.dialects.native import Native
from milepost.http.dialects.quant import Quant
from milepost.times import SECOND
from tests.examples.running import example, running, served
from tests.http.conftest import in_memory
from tests.http.dialects.quant_wire import Agent

agents = example("agents")


async def ended(app: Milepost, agent: Agent, task_id: str) -> Any:
    """The task at its end."""
    task = await app.service.wait(LOCAL, task_id, timeout=60 * SECOND, until_end=True)
    assert task.state.terminal
    return await agent.get(task_id)


async def chain(agent: Agent, folder: str) -> list[str]:
    """The three tasks, created at once."""
    extract = await agent.create("Extract", assignedAgentId="extract", taskListId="w", metadata={"folder": folder})
    said = {"taskListId": "w", "dependsOn": [extract], "metadata": {"source": extract}}
    analyse = await agent.create("Analyse", assignedAgentId="analyse", **said)
    said = {"taskListId": "w", "dependsOn": [analyse], "metadata": {"source": analyse, "sentences": 1}}
    return [extract, analyse, await agent.create("Summarise", assignedAgentId="summarise", **said)]


async def test_three_agents_hand_their_work_on(tmp_path: Path) -> None:
    app = served(agents, tmp_path)
    async with app.opened(), in_memory(app.asgi(dialects=[Native(), Quant()])) as client:
        agent = Agent(client, "world")
        ids = await chain(agent, "documents")
        assert [(await agent.get(each))["status"] for each in ids] == ["pending", "blocked", "blocked"]
        graph = await agent.graph("w")
        assert (graph["roots"], graph["leaves"]) == (ids[:1], ids[2:])
    async with running(app), in_memory(app.asgi(dialects=[Native(), Quant()])) as client:
        agent = Agent(client, "world")
        told = [await ended(app, agent, each) for each in ids]
    assert [each["status"] for each in told] == ["completed"] * 3
    extract, analyse, summarise = told
    names = [document["name"] for document in extract["result"]["documents"]]
    assert "beekeeping.md" in names
    assert [document["name"] for document in analyse["result"]["documents"]] == names
    assert summarise["result"]["summary"]
    assert (summarise["progress"], summarise["orgId"], summarise["assignedAgentId"]) == (1.0, "world", "summarise")
    assert summarise["completedAt"] >= summarise["startedAt"] >= analyse["completedAt"]


async def test_what_fails_is_told_down_the_chain_and_begins_again_with_its_beginning(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "letters").mkdir(parents=True)
    app = served(agents, tmp_path, root)
    async with running(app), in_memory(app.asgi(dialects=[Quant()])) as client:
        agent = Agent(client, "world")
        ids = await chain(agent, "letters")
        told = [await ended(app, agent, each) for each in ids]
        assert [each["status"] for each in told] == ["failed"] * 3
        assert told[0]["error"] == "There are no documents in 'letters'."
        assert ids[0] in told[1]["error"]
        (root / "letters" / "a.txt").write_text("The bees have come back to the old garden.")
        await agent.update(ids[0], status="pending")
        told = [await ended(app, agent, each) for each in ids]
    assert [each["status"] for each in told] == ["completed"] * 3
    assert told[2]["result"]["summary"] == "The bees have come back to the old garden."


async def test_an_agent_that_is_not_fed_what_it_needs_is_told_what(tmp_path: Path) -> None:
    app = served(agents, tmp_path)
    async with app.opened(), in_memory(app.asgi(dialects=[Quant()])) as client:
        answer = await Agent(client).post({"title": "T", "assignedAgentId": "extract", "metadata": {"folders": []}})
    assert answer.status_code == 400
    for why in ("metadata.folder: This is required.", "metadata.folders: There is no such argument here."):
        assert why in answer.json()["message"]
