"""Reading the policies in force, and giving one a new version."""

from datetime import datetime
from typing import Any

import msgspec

from services.engagement.customers import application as customers
from services.engagement.policies import store
from services.engagement.policies.domain import TYPES, Policies, policies_of, read_policy
from services.engagement.triggers import by_request
from shared.db import Tx


class PolicyVersion(msgspec.Struct, frozen=True):
    """A policy as it stood from ``created_at`` on; ``policy`` as JSON values."""

    name: str
    version: int
    policy: dict[str, Any]
    created_at: datetime
    created_by: str


async def in_force(tx: Tx) -> Policies:
    """The newest version of every policy."""
    return policies_of(await store.newest(tx))


async def find(tx: Tx, name: str, version: int | None = None) -> PolicyVersion | None:
    """A version of a policy, the newest where none is named; None where there isn't one."""
    row = await store.one(tx, name, version) if name in TYPES else None
    if row is None:
        return None
    body = msgspec.json.decode(row["body"])
    return PolicyVersion(row["name"], row["version"], body, row["created_at"], row["created_by"])


async def lock(tx: Tx, name: str) -> PolicyVersion | None:
    """The newest version, with the right to follow it."""
    await store.lock(tx, name)
    return await find(tx, name)


async def revise(tx: Tx, name: str, following: int, body: Any, at: datetime, by: str) -> None:
    """Adds the version after ``following`` and has everybody planned again.

    Raises msgspec.ValidationError with the place and the fault.
    """
    policy = read_policy(name, body)
    await store.add(tx, name, following + 1, msgspec.json.encode(policy), at, by)
    await customers.flag_all(tx, by_request(f"policy {name}"), at)
