"""How does a function say that an argument is secret?"""

from typing import Annotated, Any, Final, TypeAlias, TypeVar

from msgspec import Meta

T = TypeVar("T")

_SECRET: Final[dict[str, Any]] = {"writeOnly": True, "format": "password"}

Secret: TypeAlias = Annotated[T, Meta(extra_json_schema=_SECRET)]
"""`password: Secret[str]`: the function gets the value, whoever else asks reads `***`. It is sealed in the store."""
