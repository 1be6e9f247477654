from tests.store.conformance import TaskStoreConformance


class TestSqliteStore(TaskStoreConformance):
    """The suite that every store runs."""
