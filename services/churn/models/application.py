"""The versions of the model: which is active, what they were, another one put in use."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from services.churn.models import store
from services.churn.models.domain import Params
from services.churn.models.gamma_gamma import GammaGamma
from services.churn.models.versions import Holdout, ModelVersion, Trained, UnknownModel
from shared.db import Row, Tx


async def active(tx: Tx) -> ModelVersion:
    """The model that scores are computed by."""
    return _version(await store.active(tx))


async def find(tx: Tx, version: str) -> ModelVersion:
    """One version. Raises UnknownModel."""
    row = await store.find(tx, version)
    if row is None:
        raise UnknownModel(f"There is no model {version}.")
    return _version(row)


async def newest_first(tx: Tx, before: int, limit: int) -> Sequence[ModelVersion]:
    """Versions with ids below ``before``."""
    return [_version(row) for row in await store.newest_first(tx, before, limit)]


async def add(tx: Tx, trained: Trained, now: datetime) -> ModelVersion:
    """Keeps a fit as a new version, in use at once; one whose optimiser found no maximum stays a candidate."""
    await store.lock(tx)
    id = await store.next_id(tx)
    version = f"{trained.params.kind}-{id}"
    params, value, holdout = _json(trained.params), _json(trained.purchase_value), _json(trained.holdout)
    await store.add(tx, id, version, params or "", value, holdout, now)
    if trained.params.converged:
        await store.activate(tx, version)
    return await find(tx, version)


async def promote(tx: Tx, version: str) -> ModelVersion:
    """Puts a version in use; again is no change. Raises UnknownModel."""
    await store.lock(tx)
    await find(tx, version)
    await store.activate(tx, version)
    return await find(tx, version)


def _json(part: msgspec.Struct | None) -> str | None:
    return None if part is None else msgspec.json.encode(part).decode()


def _version(row: Row) -> ModelVersion:
    value, holdout = row["purchase_value"], row["evaluation"]
    return ModelVersion(
        id=row["id"],
        version=row["version"],
        params=msgspec.json.decode(row["params"], type=Params),
        purchase_value=msgspec.json.decode(value, type=GammaGamma) if value else None,
        holdout=msgspec.json.decode(holdout, type=Holdout) if holdout else None,
        status=row["status"],
        trained_at=row["trained_at"],
    )
