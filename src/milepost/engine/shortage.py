"""When can something not begin just now, but perhaps a little later?"""

import errno
from typing import Final

_SHORTAGES: Final = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


def is_shortage(error: OSError) -> bool:
    """Whether memory, processes or descriptors were lacking: whoever is not begun for that can't help it."""
    return error.errno in _SHORTAGES
