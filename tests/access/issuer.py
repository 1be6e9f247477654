"""An OpenID Connect issuer on a loopback socket: it says where its keys are, and signs with them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.http.conftest import served

AUDIENCE = "milepost"
NOW = 1_767_225_600
"""Seconds."""

RSA: RSAKey = RSAKey.generate_key(2048, {"kid": "rsa"}, private=True)
EC: ECKey = ECKey.generate_key("P-256", {"kid": "ec"}, private=True)
ED: OKPKey = OKPKey.generate_key("Ed25519", {"kid": "ed"}, private=True)


class Issuer:
    """What it answers, and what it was asked. `about` and `keys` may be exchanged."""

    def __init__(self, *keys: Key) -> None:
        self.url = ""
        self.about: Any = None
        self.keys: Any = None
        self.publish(*keys)
        self.asked: list[str] = []
        self.broken: Response | None = None
        self.answers = asyncio.Event()
        self.answers.set()
        self.app = Starlette(
            routes=[Route("/.well-known/openid-configuration", self._discovery), Route("/keys", self._jwks)]
        )

    def publish(self, *keys: Key) -> None:
        """Let these be the keys that it signs with."""
        self.keys = {"keys": [key.as_dict(private=False) for key in keys]}

    async def _discovery(self, request: Request) -> Response:
        return await self._answer(request, {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **(self.about or {})})

    async def _jwks(self, request: Request) -> Response:
        return await self._answer(request, self.keys)

    async def _answer(self, request: Request, body: Any) -> Response:
        self.asked.append(request.url.path)
        await self.answers.wait()
        return self.broken or JSONResponse(body)

    def token(self, key: Key = RSA, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token that is good, but for what is said otherwise; None leaves a claim out."""
        algorithm = {"RSA": "RS256", "EC": "ES256", "OKP": "Ed25519"}[key.key_type]
        said = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "exp": NOW + 300, "grants": ["acme:user"], **claims}
        head = {"alg": algorithm, "kid": key.kid, **(header or {})}
        return jwt.encode(
            {name: value for name, value in head.items() if value is not None},
            {name: value for name, value in said.items() if value is not None},
            key,
            algorithms=[head["alg"]],
            default_type=None,
        )


@asynccontextmanager
async def issuing(*keys: Key) -> AsyncIterator[Issuer]:
    """An issuer that has these keys."""
    issuer = Issuer(*(keys or (RSA,)))
    async with served(issuer.app) as url:
        issuer.url = url
        yield issuer


def elsewhere() -> Response:
    """A redirect to somebody else."""
    return RedirectResponse("http://127.0.0.1:9/")
