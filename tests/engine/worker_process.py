"""A worker in a process of its own, with the task types of `jobs`.

`python -m tests.engine.worker_process STORE OPTIONS`, where OPTIONS are those of Worker as JSON. SIGTERM stops it, as
it does the command line's.
"""

import asyncio
import json
import signal
import sys
from pathlib import Path

from milepost import Milepost
from tests.engine import jobs
from tests.engine.bench import Bench, Clock


async def main(store: Path, options: str) -> None:
    """Work until told to stop."""
    app = Milepost(store, files=store.with_name("files"), files_root=store.parent)
    app.include(jobs.app)
    async with app.opened() as service:
        worker = Bench(app, service, store.parent, Clock()).worker(**json.loads(options))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        await worker.run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
