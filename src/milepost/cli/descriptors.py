"""How many connections may a server have? Each takes a descriptor, of which a process has few unless it asks."""

import resource
from typing import Final

MOST: Final = 1 << 20
"""As many as Linux gives to a process by default; where there is no bound, this is one."""


def raise_limit() -> int:
    """Ask for as many as this process may have; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft
