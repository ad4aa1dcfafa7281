"""The tables ``customers``, ``crossings`` and ``scorings``."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from services.churn.scoring.announcing import Ground
from services.churn.scoring.domain import Base
from services.churn.scoring.statistics import Statistics
from services.churn.scoring.verdicts import Verdict
from services.churn.vectors import vectors
from shared.db import Row, Tx, columns, copy, execute, fetch

_CREATE = """
INSERT INTO customers (customer_id)
SELECT id FROM unnest(CAST(:ids AS text[])) id ORDER BY id COLLATE "C" ON CONFLICT DO NOTHING
"""
_LOCK = """
SELECT customer_id, statistics, band, published, joined, loaded FROM customers
WHERE customer_id = ANY(:ids) ORDER BY customer_id FOR UPDATE
"""
_SAVE = """
UPDATE customers SET statistics = new.statistics, n_occasions = new.n_occasions, first_day = new.first_day,
    last_day = new.last_day, n_valued = new.n_valued, net_minor = new.net_minor
FROM unnest(CAST(:ids AS text[]), CAST(:statistics AS bytea[]), CAST(:n_occasions AS int[]),
    CAST(:first_day AS int[]), CAST(:last_day AS int[]), CAST(:n_valued AS int[]), CAST(:net_minor AS bigint[]))
    AS new (id, statistics, n_occasions, first_day, last_day, n_valued, net_minor)
WHERE customer_id = new.id
"""
_JOIN = """
UPDATE customers SET joined = new.joined
FROM unnest(CAST(:ids AS text[]), CAST(:joined AS boolean[])) AS new (id, joined)
WHERE customer_id = new.id AND customers.joined <> new.joined
"""
_LOADED = """
UPDATE customers SET loaded = :loaded
WHERE customer_id = ANY(:ids) AND loaded <> :loaded
"""
_HISTORY_ALONE = """
SELECT customer_id, bool_and(backfill) AS alone FROM facts WHERE customer_id = ANY(:ids) GROUP BY customer_id
"""
# Column by column: the driver makes lists of arrays several times faster than rows of values.
_CHUNK = """
SELECT array_agg(customer_id) AS customer_id, array_agg(n_occasions) AS n_occasions, array_agg(first_day) AS first_day,
    array_agg(last_day) AS last_day, array_agg(n_valued) AS n_valued, array_agg(net_minor) AS net_minor,
    array_agg(band) AS band, array_agg(coalesce(published, 'NaN')) AS published,
    array_agg(coalesce(probability, 'NaN')) AS probability, array_agg(coalesce(value_at_risk, -1)) AS value_at_risk,
    array_agg(coalesce(model_version, '')) AS model_version, array_agg(loaded) AS loaded
FROM (
    SELECT customer_id, n_occasions, first_day, last_day, n_valued, net_minor, band, published, probability,
        value_at_risk, model_version, loaded
    FROM customers WHERE customer_id > :after AND NOT joined ORDER BY customer_id LIMIT :limit FOR UPDATE
) held
"""
_WRITE = """
UPDATE customers SET band = new.band, published = new.published, probability = new.probability,
    value_at_risk = new.value_at_risk, model_version = :model_version, scored_at = :now
FROM unnest(CAST(:ids AS text[]), CAST(:band AS smallint[]), CAST(:published AS double precision[]),
    CAST(:probability AS double precision[]), CAST(:value_at_risk AS bigint[]))
    AS new (id, band, published, probability, value_at_risk)
WHERE customer_id = new.id
"""
_CROSSING = ("customer_id", "from_band", "to_band", "cause", "probability", "model_version", "crossed_at")
_STATISTICS = "SELECT customer_id, statistics FROM customers WHERE customer_id = ANY(:ids)"
_FIND = "SELECT customer_id, statistics, band FROM customers WHERE customer_id = :id"
_HISTORY = """
SELECT crossed_at, from_band, to_band, cause, probability, model_version FROM crossings
WHERE customer_id = :id ORDER BY id DESC LIMIT :limit
"""
_MEAN_VALUE = "SELECT sum(net_minor)::float8 / nullif(sum(n_valued), 0) AS mean FROM customers"
_BASE = "SELECT n_occasions, first_day, last_day, n_valued, net_minor FROM customers WHERE NOT joined"
# Walks the order's own partial index; the band is a filter on it.
_AT_RISK = """
SELECT customer_id, statistics, band, probability, value_at_risk, model_version, scored_at FROM customers
WHERE band > 0 AND NOT joined AND band = ANY(:bands) AND value_at_risk >= :min_value
    AND {column} <= CAST(:after AS {type}) AND ({column} < CAST(:after AS {type}) OR customer_id > :after_id)
ORDER BY {column} DESC, customer_id LIMIT :limit
"""
_AT_RISK_BY = {
    "value_at_risk": _AT_RISK.format(column="value_at_risk", type="bigint"),
    "probability": _AT_RISK.format(column="probability", type="double precision"),
}
_LARGEST: dict[str, Any] = {"value_at_risk": 2**63 - 1, "probability": math.inf}
_ADD_SCORING = """
INSERT INTO scorings (scored_at, model_version, policy_version, customers, published, raised, lowered)
VALUES (:scored_at, :model_version, :policy_version, :customers, :published, :raised, :lowered) RETURNING id
"""
_SCORING = """
SELECT id, scored_at, model_version, policy_version, customers, published, raised, lowered FROM scorings WHERE id = :id
"""
_ALL_FACTS = "SELECT kind, key, version, digest FROM facts"
_ALL_STATISTICS = "SELECT customer_id, statistics FROM customers ORDER BY customer_id"

_statistics = msgspec.json.Decoder(Statistics)
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Held:
    """A customer whose row this transaction holds. ``band`` is a code, ``published`` None before a first score.
    ``joined``: another id answers for him; his band is that of before. ``loaded``: history was, since he was scored."""

    statistics: Statistics
    band: int
    published: float | None
    joined: bool = False
    loaded: bool = False


async def lock(tx: Tx, customers: Sequence[str]) -> dict[str, Held]:
    """The customers' states, made where there are none, held to the end of the transaction in the order of ids."""
    await execute(tx, _CREATE, ids=customers)
    return {
        row["customer_id"]: Held(
            _statistics.decode(row["statistics"]), row["band"], row["published"], row["joined"], row["loaded"]
        )
        for row in await fetch(tx, _LOCK, ids=customers)
    }


async def save(tx: Tx, states: Mapping[str, Statistics]) -> None:
    """Writes statistics of customers held."""
    rows = [
        (id, _encoder.encode(s), s.n_occasions, s.first_day, s.last_day, s.n_valued, s.net_minor)
        for id, s in sorted(states.items())
    ]
    names = ("ids", "statistics", "n_occasions", "first_day", "last_day", "n_valued", "net_minor")
    await execute(tx, _SAVE, **dict(zip(names, columns(rows, len(names)), strict=True)))


async def join(tx: Tx, joined: Mapping[str, bool]) -> None:
    """Notes of customers held whether another id answers for them."""
    ids, flags = columns(sorted(joined.items()), 2)
    await execute(tx, _JOIN, ids=ids, joined=flags)


async def note_loaded(tx: Tx, customers: Sequence[str], *, loaded: bool) -> None:
    """Notes of customers held whether history was loaded of them since they were scored."""
    if customers:
        await execute(tx, _LOADED, ids=customers, loaded=loaded)


async def history_alone(tx: Tx, customers: Sequence[str]) -> dict[str, bool]:
    """Whether all that is known of each customer was loaded; without those of whom nothing is."""
    return {row["customer_id"]: row["alone"] for row in await fetch(tx, _HISTORY_ALONE, ids=customers)}


async def hold_chunk(tx: Tx, after: str, limit: int) -> Row | None:
    """The next customers by id, held, a list a column; None after the last. Whom another id answers for is left out.
    A state that another transaction is changing is waited for and read as changed."""
    row = (await fetch(tx, _CHUNK, after=after, limit=limit))[0]
    return row if row["customer_id"] else None


async def write(tx: Tx, verdicts: Sequence[Verdict], ground: Ground) -> None:
    """Writes verdicts on customers held, and appends the crossings among them to the history of bands."""
    rows = [(v.customer_id, v.band, v.published, v.probability, v.value_at_risk) for v in verdicts]
    names = ("ids", "band", "published", "probability", "value_at_risk")
    values = dict(zip(names, columns(rows, len(names)), strict=True))
    await execute(tx, _WRITE, model_version=ground.model_version, now=ground.at, **values)
    crossed = [
        (v.customer_id, v.from_band, v.band, ground.why, v.probability, ground.model_version, ground.at)
        for v in verdicts
        if v.band != v.from_band
    ]
    if crossed:
        await copy(tx, "crossings", _CROSSING, crossed)


async def statistics_of(tx: Tx, customers: Sequence[str]) -> dict[str, Statistics]:
    """Whole states of some customers."""
    rows = await fetch(tx, _STATISTICS, ids=customers)
    return {row["customer_id"]: _statistics.decode(row["statistics"]) for row in rows}


async def find(tx: Tx, customer_id: str) -> tuple[Statistics, int] | None:
    """A customer's statistics and the code of his band after the last scoring."""
    rows = await fetch(tx, _FIND, id=customer_id)
    return (_statistics.decode(rows[0]["statistics"]), rows[0]["band"]) if rows else None


async def history(tx: Tx, customer_id: str, limit: int) -> Sequence[Row]:
    """The newest crossings first."""
    return await fetch(tx, _HISTORY, id=customer_id, limit=limit)


async def mean_value(tx: Tx) -> float | None:
    """Minor units a purchase day over the whole base; None where nothing was paid. Reads every row."""
    mean: float | None = (await fetch(tx, _MEAN_VALUE))[0]["mean"]
    return mean


async def base(tx: Tx) -> Base:
    """What a fit needs of every customer."""
    kinds = {"n_occasions": "int4", "first_day": "int4", "last_day": "int4", "n_valued": "int4", "net_minor": "int8"}
    return Base(**await vectors(tx, _BASE, columns=kinds))


async def at_risk(
    tx: Tx, order: str, bands: Sequence[int], min_value: int, after: tuple[Any, str] | None, limit: int
) -> list[tuple[Row, Statistics]]:
    """Customers above low by the last scoring, the largest ``order`` (value_at_risk, probability) first."""
    value, id = after or (_LARGEST[order], "")
    rows = await fetch(
        tx, _AT_RISK_BY[order], bands=bands, min_value=min_value, after=value, after_id=id, limit=limit
    )
    return [(row, _statistics.decode(row["statistics"])) for row in rows]


async def add_scoring(tx: Tx, **values: Any) -> int:
    """Notes a scoring's counts."""
    return int((await fetch(tx, _ADD_SCORING, **values))[0]["id"])


async def scoring(tx: Tx, id: int) -> Row | None:
    """A scoring that was noted."""
    rows = await fetch(tx, _SCORING, id=id)
    return rows[0] if rows else None


async def everything(tx: Tx) -> tuple[list[tuple[Any, ...]], dict[str, Statistics]]:
    """All facts by their keys, and all statistics by customer: for comparing, not for serving."""
    facts = sorted(tuple(row.values()) for row in await fetch(tx, _ALL_FACTS))
    return facts, {
        row["customer_id"]: _statistics.decode(row["statistics"]) for row in await fetch(tx, _ALL_STATISTICS)
    }
