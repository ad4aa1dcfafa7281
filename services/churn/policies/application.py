"""Which thresholds are in force: the newest version of the policy."""

from collections.abc import Callable
from datetime import datetime

import msgspec

from services.churn.policies import store
from services.churn.scoring.policy import Policy
from shared.db import Tx


class PolicyVersion(msgspec.Struct, frozen=True):
    """``created_at`` is None for the version that is shipped."""

    version: int
    policy: Policy
    created_at: datetime | None


async def current(tx: Tx) -> PolicyVersion:
    """The version in force."""
    row = await store.current(tx)
    policy = msgspec.json.decode(row["body"], type=Policy)
    return PolicyVersion(row["version"], policy, row["created_at"])


async def replace(tx: Tx, policy: Policy, check: Callable[[int], None], now: datetime) -> PolicyVersion:
    """A new version in force. ``check`` raises unless the present one may be replaced."""
    await store.lock(tx)
    version = (await store.current(tx))["version"]
    check(version)
    await store.add(tx, version + 1, msgspec.json.encode(policy).decode(), now)
    return PolicyVersion(version + 1, policy, now)
