"""How is a URL told of, when there may be a name and password in it?"""

import re
from typing import Final

_USER: Final = re.compile(r"//[^/?#]*@")


def told(url: str) -> str:
    """A URL without name and password; what is none as it is."""
    return _USER.sub("//***@", url)
