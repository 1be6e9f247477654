"""A list that is answered in one piece takes little memory, however large the records are that it is about."""

import tracemalloc

import pytest

from milepost.http.dialects.quant import Quant
from milepost.http.dialects.services import Services
from milepost.service import Service
from milepost.store.protocol import PAGE_BYTES
from tests.http.conftest import Tasks, http_app, in_memory

ORGANISATION = "/api/v3/organizations/5/ai/tasks"


@pytest.mark.parametrize(
    ("path", "each"),
    [
        ("/tasks?limit=1000", '"chain":5'),
        (f"{ORGANISATION}?limit=100", '"taskId"'),
        (f"{ORGANISATION}/stones/dependency-graph", '"taskId"'),
    ],
)
async def test_a_list_takes_little_memory(path: str, each: str, service: Service, tasks: Tasks) -> None:
    for _ in range(40):
        await tasks.start(tenant="5", list_id="stones", metadata={"x": "y" * (PAGE_BYTES // 2)})
    async with in_memory(http_app(service, Services(), Quant())) as client:
        await client.get(path)
        tracemalloc.start()
        try:
            response = await client.get(path)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert response.status_code == 200, response.text
    assert response.text.count(each) == 40
    assert len(response.content) < PAGE_BYTES
    assert most < 10 * PAGE_BYTES
