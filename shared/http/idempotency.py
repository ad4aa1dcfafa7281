"""Idempotency keys: a POST that is sent again has one effect and gets its answer again.

The key is stored in the transaction of the effect, as (route, key) with the HMAC of what was asked, the
status and the id of the resource; the answer is rendered from that resource, so that no copy of personal data
stays. A refusal rolls back and stores nothing. While the first request is still running, a transaction-scoped
advisory lock answers 409.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from shared.db import Row, Tx, columns, execute, fetch
from shared.http.auth import Principal
from shared.http.bodies import is_json
from shared.http.gates import Gate, admitted
from shared.http.problems import ProblemError

IDEMPOTENCY_DDL = """
CREATE TABLE IF NOT EXISTS idempotency_keys (
    route text NOT NULL,
    key text NOT NULL,
    body_hmac bytea NOT NULL,
    status int NOT NULL,
    resource_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (route, key)
)
"""

REPLAYED = "Idempotency-Replayed"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Replay:
    """How the first request with this key ended: answer with this status, from this resource."""

    status: int
    resource_id: str

    def mark(self, response: Response) -> None:
        """Gives the answer the first one's status and the header that says it is a replay."""
        response.status_code = self.status
        response.headers[REPLAYED] = "true"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request's key, None where it has none: then `claim` finds nothing and `remember` keeps nothing."""

    route: str
    key: str | None
    body_hmac: bytes

    async def claim(self, tx: Tx, *, status: int = 0, resource_id: str = "") -> Replay | None:
        """See `claim`."""
        if self.key is None:
            return None
        return await claim(tx, self.route, self.key, self.body_hmac, status=status, resource_id=resource_id)

    async def remember(self, tx: Tx, *, status: int, resource_id: str) -> None:
        """See `remember`."""
        if self.key is not None:
            await remember(tx, self.route, self.key, self.body_hmac, status=status, resource_id=resource_id)


class Claim(NamedTuple):
    """An attempt that has a key, and what its effect will be known by, where that is known before."""

    attempt: Attempt
    status: int = 0
    resource_id: str = ""


async def claim(
    tx: Tx, route: str, key: str, body_hmac: bytes, *, status: int = 0, resource_id: str = ""
) -> Replay | None:
    """First statement of the effect's transaction (READ COMMITTED): None if the effect is ours to have.

    With the ``status`` and the ``resource_id`` that it will have, where they are known before, there is nothing left to
    `remember`.
    Raises ProblemError 409 `idempotency-in-progress` while another transaction holds the key, 422
    `idempotency-key-reused` where the key came with another body before.
    """
    [found] = await claim_all(tx, [Claim(Attempt(route, key, body_hmac), status, resource_id)])
    if isinstance(found, ProblemError):
        raise found
    return found


async def claim_all(tx: Tx, claims: Sequence[Claim]) -> list[Replay | ProblemError | None]:
    """The same for several effects of one transaction, no key twice: what `claim` would raise stands in its place."""
    rows = [
        (_lock_of(attempt), attempt.route, attempt.key, attempt.body_hmac, status, resource_id)
        for attempt, status, resource_id in claims
    ]
    names = ("locks", "routes", "keys", "body_hmacs", "statuses", "resource_ids")
    claimed = await fetch(tx, _CLAIM, **dict(zip(names, columns(rows, len(names)), strict=True)))
    known = [claim.attempt for claim, row in zip(claims, claimed, strict=True) if row["ours"] and not row["fresh"]]
    # A statement of its own: its snapshot must be taken after the lock, to see what the holder committed.
    stored = {(row["route"], row["key"]): row for row in await _of(tx, _STORED, known)} if known else {}
    found: list[Replay | ProblemError | None] = []
    for (attempt, status, resource_id), row in zip(claims, claimed, strict=True):
        before = stored.get((attempt.route, attempt.key))
        if not row["ours"]:
            detail = "The first request with this key is still running."
            found.append(ProblemError(409, "idempotency-in-progress", detail, headers={"Retry-After": "1"}))
        elif row["fresh"]:
            found.append(None)
        elif before is None:
            # It had no effect to be remembered.
            await attempt.remember(tx, status=status, resource_id=resource_id)
            found.append(None)
        elif not hmac.compare_digest(before["body_hmac"], attempt.body_hmac):
            detail = "This key was used for another request before."
            found.append(ProblemError(422, "idempotency-key-reused", detail))
        else:
            found.append(Replay(before["status"], before["resource_id"]))
    return found


async def disclaim(tx: Tx, attempts: Sequence[Attempt]) -> None:
    """Forgets keys that this transaction claimed for effects that it doesn't have."""
    if attempts:
        await _of(tx, _DISCLAIM, attempts)


async def remember(tx: Tx, route: str, key: str, body_hmac: bytes, *, status: int, resource_id: str) -> None:
    """Keeps the key with the effect; after `claim` returned None, in the same transaction."""
    await execute(tx, _KEEP, route=route, key=key, body_hmac=body_hmac, status=status, resource_id=resource_id)


def idempotency_key(*, required: bool = False) -> Any:
    """A dependency on the header: `attempt: Annotated[Attempt, idempotency_key(required=True)]`.

    Required where points or money move: 400 `idempotency-key-required` without one.
    """
    return Depends(IdempotencyKey(required=required))


class IdempotencyKey(Gate[Attempt]):
    """Checks the header before the body is read; the attempt itself is made after, as it signs the body."""

    rank = 1
    statuses = (400, 409, 422)

    def __init__(self, *, required: bool) -> None:
        self.required = required
        schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
        self.parameters = ({"name": "Idempotency-Key", "in": "header", "required": required, "schema": schema},)

    async def admit(self, request: Request) -> Attempt:
        """Checks the key only. Raises ProblemError 400."""
        key = request.headers.get("idempotency-key")
        if key is None and self.required:
            raise ProblemError(400, "idempotency-key-required", "This needs an Idempotency-Key: a fresh UUID.")
        if key is not None and not _KEY.fullmatch(key):
            detail = "An Idempotency-Key has 1 to 255 printable ASCII characters without spaces."
            raise ProblemError(400, "idempotency-key-invalid", detail)
        state = request.app.state
        return Attempt(f"{state.service} {request.method} {request.scope['route'].path_format}", key, b"")

    async def __call__(self, request: Request) -> Attempt:
        """The attempt, with the HMAC of path, query and body in canonical form, and of the customer whose token asks:
        another one gets nobody's answer by knowing his key."""
        bare = await super().__call__(request)
        if bare.key is None:
            return bare
        body = await request.body()
        asked = [
            sorted((name, str(value)) for name, value in request.path_params.items()),
            sorted(request.query_params.multi_items()),
            await request.json() if body and is_json(request.headers.get("content-type", "")) else body.hex(),
        ]
        who = next((one for one in admitted(request) if isinstance(one, Principal)), None)
        if who is not None and who.customer_id is not None:
            asked.append(who.customer_id)
        canonical = json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()
        return Attempt(bare.route, bare.key, hmac.digest(request.app.state.http.hmac_key, canonical, "sha256"))


def _lock_of(attempt: Attempt) -> int:
    return int.from_bytes(hashlib.sha256(f"{attempt.route}\0{attempt.key}".encode()).digest()[:8], signed=True)


async def _of(tx: Tx, sql: str, attempts: Sequence[Attempt]) -> Sequence[Row]:
    routes, keys = columns([(attempt.route, attempt.key) for attempt in attempts], 2)
    return await fetch(tx, sql, routes=routes, keys=keys)


# The insert sees what was committed meanwhile, whatever the statement's snapshot: of a key there is one row. Its status
# is 0 while nothing has come of it.
_CLAIM = """
WITH asked AS MATERIALIZED (
    SELECT *, pg_try_advisory_xact_lock(lock) AS ours
    FROM unnest(CAST(:locks AS bigint[]), CAST(:routes AS text[]), CAST(:keys AS text[]), CAST(:body_hmacs AS bytea[]),
                CAST(:statuses AS int[]), CAST(:resource_ids AS text[]))
        WITH ORDINALITY AS asked (lock, route, key, body_hmac, status, resource_id, n)
), kept AS (
    INSERT INTO idempotency_keys (route, key, body_hmac, status, resource_id)
    SELECT route, key, body_hmac, status, resource_id FROM asked WHERE ours
    ON CONFLICT DO NOTHING RETURNING route, key
)
SELECT asked.ours, kept.key IS NOT NULL AS fresh
FROM asked LEFT JOIN kept ON kept.route = asked.route AND kept.key = asked.key ORDER BY asked.n
"""
_STORED = """
SELECT kept.route, kept.key, kept.body_hmac, kept.status, kept.resource_id
FROM unnest(CAST(:routes AS text[]), CAST(:keys AS text[])) AS asked (route, key)
    JOIN idempotency_keys AS kept ON kept.route = asked.route AND kept.key = asked.key
WHERE kept.status > 0
"""
_DISCLAIM = """
DELETE FROM idempotency_keys AS kept
USING unnest(CAST(:routes AS text[]), CAST(:keys AS text[])) AS asked (route, key)
WHERE kept.route = asked.route AND kept.key = asked.key
"""
_KEEP = """
UPDATE idempotency_keys SET body_hmac = :body_hmac, status = :status, resource_id = :resource_id
WHERE route = :route AND key = :key
"""
