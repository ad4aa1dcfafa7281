"""What is in force now."""

import msgspec

from services.profile.policies import store
from services.profile.policies.domain import ConsentPolicy, LifecyclePolicy, Policies, RfmCutPoints
from shared.db import Tx

_KINDS = {"rfm": RfmCutPoints, "lifecycle": LifecyclePolicy, "consent": ConsentPolicy}


async def in_force(tx: Tx) -> Policies:
    """The newest version of every policy. Raises KeyError where the migration's seed is gone."""
    rows = await store.newest(tx)
    return msgspec.convert({name: read(name, *rows[name]) for name in _KINDS}, Policies)


def read(name: str, version: int, body: str) -> RfmCutPoints | LifecyclePolicy | ConsentPolicy:
    """A policy from its row. Raises msgspec.ValidationError for numbers that contradict each other."""
    policy: RfmCutPoints | LifecyclePolicy | ConsentPolicy = msgspec.json.decode(body, type=_KINDS[name])
    return msgspec.structs.replace(policy, version=version)
