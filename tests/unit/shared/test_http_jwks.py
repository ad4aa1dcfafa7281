"""Tokens of an identity provider: its keys are fetched seldom, and never trusted to sign symmetrically."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.http import jwks
from shared.http.auth import Principal, Tokens
from shared.http.problems import ProblemError
from shared.http.settings import HttpSettings


@dataclass
class Provider:
    """Serves a JWKS on a port of its own, and counts how often it is asked."""

    url: str = ""
    asked: int = 0
    status: int = 200
    keys: dict[str, Any] = field(default_factory=dict)

    def make_key(self, key_id: str) -> None:
        self.keys[key_id] = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def token(self, key_id: str, **claims: Any) -> str:
        body = {"sub": "x", "scope": "a", "exp": datetime.now(UTC) + timedelta(hours=1), **claims}
        return jwt.encode(body, self.keys[key_id], algorithm="RS256", headers={"kid": key_id})

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        algorithm = jwt.algorithms.RSAAlgorithm
        keys = [
            {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "alg": "RS256"}
            for key_id, key in self.keys.items()
        ]
        keys.append(
            {"kty": "oct", "kid": "symmetric", "alg": "HS256", "k": "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg"}
        )
        body = json.dumps({"keys": keys}).encode()
        writer.write(
            f"HTTP/1.1 {self.status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def providing() -> AsyncIterator[Provider]:
    provider = Provider()
    provider.make_key("k-1")
    server = await asyncio.start_server(provider.answer, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
    async with server:
        yield provider


def tokens_of(provider: Provider, **options: Any) -> Tokens:
    return Tokens(HttpSettings.model_validate({"jwks_url": provider.url, "app_secret": "x" * 32, **options}))


async def refusal(tokens: Tokens, token: str) -> int:
    with pytest.raises(ProblemError) as refused:
        await tokens.principal(token)
    return refused.value.status


async def test_a_token_signed_by_the_provider_is_taken() -> None:
    async with providing() as provider:
        principal = await tokens_of(provider).principal(provider.token("k-1", customer_id="c-1"))
    assert principal == Principal("x", frozenset({"a"}), "c-1")


async def test_many_tokens_at_once_need_one_fetch() -> None:
    async with providing() as provider:
        tokens = tokens_of(provider)
        await asyncio.gather(*(tokens.principal(provider.token("k-1", sub=f"s-{n}")) for n in range(20)))
    assert provider.asked == 1


async def test_a_new_key_is_fetched_once_its_pause_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async with providing() as provider:
        tokens = tokens_of(provider)
        await tokens.principal(provider.token("k-1"))
        provider.make_key("k-2")
        assert await refusal(tokens, provider.token("k-2")) == 401
        assert provider.asked == 1
        monkeypatch.setattr(jwks, "_PAUSE_SECONDS", 0)
        assert (await tokens.principal(provider.token("k-2"))).subject == "x"


async def test_a_key_that_is_gone_stops_counting_with_the_next_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "_PAUSE_SECONDS", 0)
    async with providing() as provider:
        tokens = tokens_of(provider)
        old = provider.token("k-1")
        await tokens.principal(old)
        provider.make_key("k-2")
        new = provider.token("k-2")
        del provider.keys["k-1"]
        await tokens.principal(new)
        assert await refusal(tokens, old) == 401


async def test_old_keys_serve_while_new_ones_are_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "_PAUSE_SECONDS", 0)
    async with providing() as provider:
        tokens = tokens_of(provider, jwks_cache_seconds=0.000_001)
        token = provider.token("k-1")
        await tokens.principal(token)
        provider.status = 500
        await tokens.principal(token)
        deadline = time.monotonic() + 10
        while provider.asked < 2 and time.monotonic() < deadline:
            await tokens.principal(token)
            await asyncio.sleep(0)
        assert provider.asked >= 2
        await tokens.principal(token)


async def test_without_any_keys_tokens_cannot_be_checked() -> None:
    async with providing() as provider:
        provider.status = 500
        assert await refusal(tokens_of(provider), provider.token("k-1")) == 503


async def test_a_symmetric_key_in_a_public_document_signs_nothing() -> None:
    async with providing() as provider:
        claims = {"sub": "x", "scope": "admin", "exp": datetime.now(UTC) + timedelta(hours=1)}
        forged = jwt.encode(claims, "x" * 32, algorithm="HS256", headers={"kid": "symmetric"})
        assert await refusal(tokens_of(provider), forged) == 401
        named_like_ours = jwt.encode(claims, "x" * 32, algorithm="HS256", headers={"kid": "k-1"})
        assert await refusal(tokens_of(provider), named_like_ours) == 401
