"""What must every store do?

A store's test module subclasses `TaskStoreConformance` and has a fixture `make_store` (see `scene.MakeStore`), which
opens handles on the same, at first empty, data.
"""

import pytest

from milepost.store.protocol import TaskStore

from .conformance_callbacks import Callbacks
from .conformance_children import Children
from .conformance_clients import Clients
from .conformance_dependencies import Dependencies
from .conformance_histories import Histories
from .conformance_keys import Keys
from .conformance_leases import Leases
from .conformance_reading import Reading
from .conformance_records import Records
from .conformance_sight import Sight
from .conformance_tenants import TenantNumbers
from .conformance_time import Time
from .conformance_turns import Turns
from .conformance_waking import Waking
from .scene import MakeStore, Scene


class TaskStoreConformance(
    Records,
    Leases,
    Dependencies,
    Children,
    Clients,
    Time,
    Turns,
    Keys,
    Callbacks,
    Reading,
    Histories,
    Sight,
    TenantNumbers,
    Waking,
):
    """The suite; a test that shows a promise carries the promise's id."""

    @pytest.fixture
    async def store(self, make_store: MakeStore) -> TaskStore:
        return await make_store()

    @pytest.fixture
    def scene(self, store: TaskStore) -> Scene:
        return Scene(store)

    @pytest.fixture
    async def other(self, make_store: MakeStore) -> Scene:
        """The same data as another process sees it."""
        return Scene(await make_store())
