"""What is in force now."""

import msgspec

from services.profile.policies import store
from services.profile.policies.domain import (
    ConsentPolicy,
    LifecyclePolicy,
    MergingPolicy,
    Policies,
    RfmCutPoints,
    SimilarityPolicy,
    ValuePolicy,
)
from shared.db import Tx

_KINDS = {"rfm": RfmCutPoints, "lifecycle": LifecyclePolicy, "consent": ConsentPolicy, "value": ValuePolicy}
Policy = RfmCutPoints | LifecyclePolicy | ConsentPolicy | ValuePolicy | MergingPolicy | SimilarityPolicy


async def in_force(tx: Tx) -> Policies:
    """The newest version of every policy. Raises KeyError where the migration's seed is gone."""
    rows = await store.newest(tx)
    return msgspec.convert({name: read(name, *rows[name]) for name in _KINDS}, Policies)


async def merging(tx: Tx) -> MergingPolicy:
    """Who is joined by rule."""
    version, body = await store.newest_of(tx, "merging")
    return msgspec.structs.replace(msgspec.json.decode(body, type=MergingPolicy), version=version)


async def similarity(tx: Tx) -> SimilarityPolicy:
    """Who is suggested as one person."""
    version, body = await store.newest_of(tx, "similarity")
    return msgspec.structs.replace(msgspec.json.decode(body, type=SimilarityPolicy), version=version)


def read(name: str, version: int, body: str) -> Policy:
    """A policy from its row. Raises msgspec.ValidationError for numbers that contradict each other."""
    policy: Policy = msgspec.json.decode(body, type=_KINDS[name])
    return msgspec.structs.replace(policy, version=version)


async def put(tx: Tx, name: str, policy: Policy) -> int:
    """Writes the next version of a policy, in force from now on; answers its number."""
    body = msgspec.to_builtins(policy)
    del body["version"]
    return await store.add(tx, name, msgspec.json.encode(body).decode())
