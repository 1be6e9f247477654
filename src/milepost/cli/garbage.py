"""When does a server look for garbage that reference counts do not free?

Each look at everything stops all else for as long as there is much: with 10,000 requests that wait, for half a second,
every few seconds as Python has it by default. Requests leave no such garbage behind, so that it need not be often.
"""

import gc
from typing import Final

YOUNG: Final = 5_000
"""More containers than there were at the last look at what is new; Python's own is 700."""
OLDER: Final = 5
ALL: Final = 40
"""Looks at what is younger for one at what is older, and for one at all."""


def settle() -> None:
    """Once a server is ready: leave alone what is there to stay, and look for the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, OLDER, ALL)
