"""The public keys of an identity provider, kept fresh beside the requests rather than inside them."""

import asyncio
import time

import httpx
import jwt
import structlog

from shared.http.problems import ProblemError

ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Only these: a symmetric key in a public document would let everybody sign."""

_FETCH_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 1.0
_PAUSE_SECONDS = 10.0
log = structlog.get_logger(__name__)


class KeySet:
    """The keys at a JWKS URL (RFC 7517).

    A request waits for a fetch in two cases: before the first one has succeeded, and for an unknown key id (a
    rotation), at most once in ten seconds. Otherwise old keys serve while a task fetches the new ones; they
    serve on while the URL doesn't answer.
    """

    def __init__(self, url: str, cache_seconds: float) -> None:
        if not jwt.algorithms.has_crypto:
            raise RuntimeError("jwks_url needs the package 'cryptography': install pyjwt[crypto]")
        self.generation = 0
        self._url = url
        self._cache_seconds = cache_seconds
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetch: asyncio.Task[None] | None = None

    def is_stale(self) -> bool:
        """Whether the keys are older than their time in the cache."""
        return self._fetched_at is None or time.monotonic() - self._fetched_at > self._cache_seconds

    async def find(self, key_id: str | None) -> jwt.PyJWK:
        """The key of that id. Raises jwt.InvalidKeyError; ProblemError 503 while none was ever fetched."""
        if key_id not in self._keys and (self._is_fetching() or self._may_try()):
            # Shielded: who hangs up must not take the fetch from the others that wait for it.
            await asyncio.shield(self._start())
        elif self.is_stale() and self._may_try():
            self._start()
        if self._fetched_at is None:
            raise ProblemError(503, "keys-unavailable", "Tokens can't be checked now.", headers={"Retry-After": "5"})
        if key_id not in self._keys:
            raise jwt.InvalidKeyError("unknown key id")
        return self._keys[key_id]

    def _is_fetching(self) -> bool:
        return self._fetch is not None and not self._fetch.done()

    def _may_try(self) -> bool:
        pause = _FIRST_PAUSE_SECONDS if self._fetched_at is None else _PAUSE_SECONDS
        return self._tried_at is None or time.monotonic() - self._tried_at > pause

    def _start(self) -> asyncio.Task[None]:
        if self._fetch is None or self._fetch.done():
            self._tried_at = time.monotonic()
            self._fetch = asyncio.create_task(self._renew())
        return self._fetch

    async def _renew(self) -> None:
        try:
            async with httpx.AsyncClient(timeout=_FETCH_SECONDS) as client:
                response = await client.get(self._url)
            keys = jwt.PyJWKSet.from_dict(response.raise_for_status().json()).keys
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            jwt.PyJWTError,
            ValueError,
            AttributeError,
            TypeError,
        ) as error:
            log.warning("jwks.fetch-failed", error=error)
            return
        self._keys = {key.key_id: key for key in keys if key.algorithm_name in ASYMMETRIC}
        self._fetched_at = time.monotonic()
        self.generation += 1
