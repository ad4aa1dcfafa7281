"""Measurements, and what they come to: all SQL that reads or writes them."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from services.loyalty.effects.domain import PARTS, Group, Kind, Side, Taken
from shared.contracts.erasures import PSEUDONYM
from shared.db import Row, Tx, execute, fetch

# As `domain.is_held_out` has it.
_HELD_OUT = f"""
(get_byte(h.digest, 0)::bigint * 16777216 + get_byte(h.digest, 1) * 65536 + get_byte(h.digest, 2) * 256
    + get_byte(h.digest, 3)) % {PARTS} < CAST(:percent AS integer) * {PARTS // 100}
"""
_HASHED = "CROSS JOIN LATERAL (SELECT sha256(convert_to(:target || ' ' || a.customer_id, 'UTF8')) AS digest) AS h"
_EFFECT = (
    "effect_id", "name", "kind", "target", "since", "until", "holdout_percent", "created_by", "created_at",
)  # fmt: skip
_LIST = ", ".join(_EFFECT)
_ADD = f"INSERT INTO effects ({_LIST}) VALUES ({', '.join(f':{name}' for name in _EFFECT)})"
_ONE = f"SELECT {_LIST} FROM effects WHERE effect_id = :id"
_PAGE = f"""
SELECT {_LIST} FROM effects WHERE CAST(:before AS text) IS NULL OR effect_id < :before
ORDER BY effect_id DESC LIMIT :limit
"""
# Everybody who had bought something when it began, whatever he did since: nobody chose his side by what he bought. Who
# has ids on both sides since a merge, is on neither.
_GROUPS = f"""
WITH person AS (
    SELECT coalesce(a.survivor_account_id, a.account_id) AS id, bool_or({_HELD_OUT}) AS any_held,
           bool_and({_HELD_OUT}) AS all_held
    FROM accounts AS a {_HASHED}
    WHERE a.customer_id NOT LIKE '{PSEUDONYM}%'
    GROUP BY 1
), bought AS (
    SELECT coalesce(a.survivor_account_id, a.account_id) AS id,
           coalesce(sum(l.net_minor) FILTER (WHERE l.occurred_at >= :since AND l.currency = :currency), 0) AS spend,
           coalesce(sum(l.points) FILTER (WHERE l.occurred_at >= :since), 0) AS points
    FROM lots AS l JOIN accounts AS a USING (account_id)
    WHERE l.origin = 'order' AND l.occurred_at < :until
    GROUP BY 1 HAVING min(l.occurred_at) < :since
)
SELECT CASE WHEN all_held THEN 'held-out' WHEN any_held THEN 'mixed' ELSE 'treated' END AS side,
       count(*) AS persons, sum(spend) AS spend, sum(spend * spend) AS squares, sum(points) AS points
FROM person JOIN bought USING (id) GROUP BY 1
"""
# Treated is whom the groups above count among the treated.
_TAKEN = f"""
WITH used AS (
    SELECT u.version, coalesce(a.survivor_account_id, a.account_id) AS id
    FROM reward_uses AS u JOIN accounts AS a USING (account_id)
    WHERE u.reward_id = :target AND u.state = 'settled' AND u.at >= :since AND u.at < :until
), treated AS (
    SELECT one.id FROM (SELECT DISTINCT id FROM used) AS one
    WHERE EXISTS (
        SELECT FROM accounts AS a {_HASHED}
        WHERE (a.account_id = one.id OR a.survivor_account_id = one.id) AND a.customer_id NOT LIKE '{PSEUDONYM}%'
        HAVING NOT bool_or({_HELD_OUT})
    ) AND EXISTS (
        SELECT FROM accounts AS a JOIN lots AS l USING (account_id)
        WHERE (a.account_id = one.id OR a.survivor_account_id = one.id) AND l.origin = 'order'
            AND l.occurred_at < :since
    )
)
SELECT used.version, count(*)::int AS uses, count(treated.id)::int AS of_treated
FROM used LEFT JOIN treated USING (id) GROUP BY used.version
"""
_IS_HELD_OUT = f"""
SELECT coalesce(bool_or({_HELD_OUT}), false) AS held_out FROM accounts AS a {_HASHED}
WHERE a.account_id = ANY(:accounts)
"""


class Effect(msgspec.Struct, frozen=True):
    """A measurement: of the rule or reward ``target``, over [since, until)."""

    effect_id: str
    name: str
    kind: Kind
    target: str
    since: datetime
    until: datetime
    holdout_percent: int
    created_by: str
    created_at: datetime


async def add(tx: Tx, effect: Effect) -> None:
    """A new one."""
    await execute(tx, _ADD, **msgspec.structs.asdict(effect))


async def one(tx: Tx, id: str) -> Effect | None:
    """That one, or None."""
    rows = await fetch(tx, _ONE, id=id)
    return _effect(rows[0]) if rows else None


async def page(tx: Tx, before: str | None, limit: int) -> list[Effect]:
    """The newest first."""
    return [_effect(row) for row in await fetch(tx, _PAGE, before=before, limit=limit)]


async def groups(tx: Tx, effect: Effect, until: datetime, currency: str) -> dict[Side, Group]:
    """Both sides, and who is on neither, by what was bought from its beginning until then."""
    rows = await fetch(
        tx, _GROUPS, target=effect.target, percent=effect.holdout_percent, since=effect.since, until=until,
        currency=currency,
    )  # fmt: skip
    found = {
        row["side"]: Group(int(row["persons"]), int(row["spend"]), int(row["squares"]), int(row["points"]))
        for row in rows
    }
    sides: tuple[Side, ...] = ("treated", "held-out", "mixed")
    return {side: found.get(side, Group()) for side in sides}


async def taken(tx: Tx, effect: Effect, until: datetime) -> dict[int, Taken]:
    """How often a reward was taken, and not given back, from the beginning until then, by its versions."""
    rows = await fetch(
        tx, _TAKEN, target=effect.target, percent=effect.holdout_percent, since=effect.since, until=until
    )
    return {row["version"]: Taken(row["uses"], row["of_treated"]) for row in rows}


async def is_held_out(tx: Tx, target: str, accounts: Sequence[int], percent: int) -> bool:
    """Whether one of these accounts' ids is held out."""
    rows = await fetch(tx, _IS_HELD_OUT, target=target, accounts=list(accounts), percent=percent)
    return bool(rows[0]["held_out"])


def _effect(row: Row) -> Effect:
    return Effect(*(row[name] for name in _EFFECT))
