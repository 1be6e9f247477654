"""Which dialects come along, and which of them are spoken where nobody says otherwise? All of them, side by side."""

from collections.abc import Collection, Mapping
from typing import Final

from milepost.access.keyring import Profile
from milepost.http.dialect import Dialect
from milepost.http.dialects.aparavi import Aparavi
from milepost.http.dialects.cloudcoin import CloudCoin
from milepost.http.dialects.metavault import Metavault
from milepost.http.dialects.native import Native
from milepost.http.dialects.quant import Quant
from milepost.http.dialects.services import Services

NAMES: Final = ("native", "metavault", "services", "aparavi", "cloudcoin", "quant")
"""In the order in which they are shown; the first one's document is that of the whole application."""


def dialects(
    names: Collection[str] = NAMES,
    *,
    profile: Profile = "page",
    paths: Mapping[str, str] | None = None,
    caller: str | None = None,
) -> list[Dialect]:
    """The dialects of these names, as they come. `profile` and `paths` are as in `Aparavi`, `caller` as in `CloudCoin`.

    Raises ValueError for a name of none, and a caller that is none.
    """
    product = (Metavault(), Services(), Aparavi(profile=profile, paths=paths), CloudCoin(caller=caller), Quant())
    known: Mapping[str, Dialect] = {dialect.name: dialect for dialect in (Native(), *product)}
    for name in names:
        if name not in known:
            raise ValueError(f"There is no dialect {name!r:.80}; there are {', '.join(known)}.")
    return [dialect for name, dialect in known.items() if name in names]
