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
from dataclasses import dataclass
from typing import Any

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from shared.db import Tx, execute, fetch
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


async def claim(
    tx: Tx, route: str, key: str, body_hmac: bytes, *, status: int = 0, resource_id: str = ""
) -> Replay | None:
    """First statement of the effect's transaction (READ COMMITTED): None if the effect is ours to have.

    With the ``status`` and the ``resource_id`` that it will have, where they are known before, there is nothing left to
    `remember`.
    Raises ProblemError 409 `idempotency-in-progress` while another transaction holds the key, 422
    `idempotency-key-reused` where the key came with another body before.
    """
    lock = int.from_bytes(hashlib.sha256(f"{route}\0{key}".encode()).digest()[:8], signed=True)
    asked = {"route": route, "key": key, "body_hmac": body_hmac, "status": status, "resource_id": resource_id}
    claimed = (await fetch(tx, _CLAIM, lock=lock, **asked))[0]
    if not claimed["ours"]:
        detail = "The first request with this key is still running."
        raise ProblemError(409, "idempotency-in-progress", detail, headers={"Retry-After": "1"})
    if claimed["fresh"]:
        return None
    # A statement of its own: its snapshot must be taken after the lock, to see what the holder committed.
    stored = await fetch(tx, _STORED, route=route, key=key)
    if not stored:
        # It had no effect to be remembered.
        await remember(tx, route, key, body_hmac, status=status, resource_id=resource_id)
        return None
    if not hmac.compare_digest(stored[0]["body_hmac"], body_hmac):
        raise ProblemError(422, "idempotency-key-reused", "This key was used for another request before.")
    return Replay(stored[0]["status"], stored[0]["resource_id"])


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


# The insert sees what was committed meanwhile, whatever the statement's snapshot: of a key there is one row. Its status
# is 0 while nothing has come of it.
_CLAIM = """
WITH lock AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(:lock) AS ours
), kept AS (
    INSERT INTO idempotency_keys (route, key, body_hmac, status, resource_id)
    SELECT :route, :key, :body_hmac, CAST(:status AS int), :resource_id FROM lock WHERE ours
    ON CONFLICT DO NOTHING RETURNING 1
)
SELECT ours, EXISTS (SELECT FROM kept) AS fresh FROM lock
"""
_STORED = """
SELECT body_hmac, status, resource_id FROM idempotency_keys WHERE route = :route AND key = :key AND status > 0
"""
_KEEP = """
UPDATE idempotency_keys SET body_hmac = :body_hmac, status = :status, resource_id = :resource_id
WHERE route = :route AND key = :key
"""
