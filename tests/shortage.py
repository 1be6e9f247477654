"""This process with nothing left to open."""

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """This process can open nothing more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, before[1]))
    hoarded = []
    try:
        with contextlib.suppress(OSError):
            while True:
                hoarded.append(os.dup(0))
        yield
    finally:
        for descriptor in hoarded:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
