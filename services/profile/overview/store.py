"""The reads that join what the modules keep: one customer whole, lists of customers by what is said of them."""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from operator import itemgetter
from typing import Any

import msgspec

from services.profile.overview.domain import Listed, Said
from services.profile.policies.domain import LifecyclePolicy
from services.profile.purchases.domain import Foreign, Purchases
from services.profile.segments.domain import labels, of_label
from services.profile.timeline.domain import ContactNews, Forecast, Standing
from shared.contracts.risk import Reason
from shared.db import Reader, Row, Tx, fetch

_STATES = """
    coalesce(s.orders, 0) AS orders, coalesce(s.spend, 0) AS spend, coalesce(s.days, 0) AS days,
    s.first_day, s.previous_day, s.last_day, s.first_at, s.last_at, s.last_source, s.last_event_id, s.elsewhere,
    coalesce(t.points, 0) + coalesce(others.points, 0) AS points,
    coalesce(t.complaints, 0) + coalesce(others.complaints, 0) AS complaints,
    coalesce(t.open_complaints, 0) + coalesce(others.open_complaints, 0) AS open_complaints,
    coalesce(t.tier_sequence, 0) AS tier_sequence, t.tier, coalesce(t.risk_sequence, 0) AS risk_sequence,
    t.risk_band, t.risk_probability, t.risk_scored_at, coalesce(t.reasons_sequence, 0) AS reasons_sequence, t.reasons,
    coalesce(t.scored_sequence, 0) AS scored_sequence, t.forecast
"""
# Orders are folded over all ids of a person already, what the other services say is kept by id: points and complaints
# add up, tier, risk and forecast are the survivor's.
_JOINED = """
LEFT JOIN purchase_states AS s USING (customer_id)
LEFT JOIN standings AS t USING (customer_id)
LEFT JOIN LATERAL (SELECT CAST(sum(o.points) AS bigint) AS points, CAST(sum(o.complaints) AS int) AS complaints,
                          CAST(sum(o.open_complaints) AS int) AS open_complaints
                   FROM survivors AS v JOIN standings AS o ON o.customer_id = v.customer_id
                   WHERE v.survivor_id = c.customer_id) AS others ON true
"""
_ONE = f"""
SELECT {_STATES}, n.contact_id, c.customer_id, n.sequence, n.status, n.purpose, n.channel, n.due_at,
       ARRAY(SELECT ARRAY[p.segment, p.class] FROM placements AS p WHERE p.customer_id = c.customer_id) AS places,
       EXISTS (SELECT 1 FROM customers AS r WHERE r.customer_id = ANY(:ids) AND r.restricted) AS restricted
FROM (SELECT CAST(:customer AS text) AS customer_id) AS c
{_JOINED}
LEFT JOIN LATERAL (SELECT * FROM contacts WHERE contacts.customer_id = ANY(:ids) AND status = 'planned'
                   ORDER BY due_at LIMIT 1) AS n ON true
"""
# Who has one id alone, which is nearly everybody, in one statement with his file; nothing of anybody else.
_ALONE = f"""
SELECT {{}}, {_STATES}, n.contact_id, n.sequence, n.status, n.purpose, n.channel, n.due_at,
       ARRAY(SELECT ARRAY[p.segment, p.class] FROM placements AS p WHERE p.customer_id = c.customer_id) AS places,
       (SELECT count(*) FROM policies) AS policies
FROM customers AS c
LEFT JOIN customer_keys USING (customer_id)
LEFT JOIN purchase_states AS s USING (customer_id)
LEFT JOIN standings AS t USING (customer_id)
LEFT JOIN LATERAL (SELECT contact_id, sequence, status, purpose, channel, due_at FROM contacts
                   WHERE contacts.customer_id = c.customer_id AND status = 'planned'
                   ORDER BY due_at LIMIT 1) AS n ON true
CROSS JOIN (SELECT 0 AS points, 0 AS complaints, 0 AS open_complaints) AS others
WHERE c.customer_id = $1
  AND NOT EXISTS (SELECT 1 FROM survivors WHERE customer_id = $1)
  AND NOT EXISTS (SELECT 1 FROM survivors WHERE survivor_id = $1)
"""
# purchases.lifecycle.stage in SQL: kept equal to it by a test.
_STAGE = """
CASE WHEN s.last_day IS NULL THEN 'prospect'
     WHEN :today - s.last_day >= CASE WHEN s.days < :rhythm_purchase_days THEN :lost_days ELSE greatest(
         :shortest_lost_days, (:lost_gaps * (s.last_day - s.first_day) + s.days - 2) / (s.days - 1)) END THEN 'lost'
     WHEN :today - s.last_day >= CASE WHEN s.days < :rhythm_purchase_days THEN :dormant_days ELSE greatest(
         :shortest_dormant_days, (:dormant_gaps * (s.last_day - s.first_day) + s.days - 2) / (s.days - 1)) END
         THEN 'dormant'
     WHEN :today - s.last_day < :returned_days AND s.last_day - s.previous_day >=
         CASE WHEN s.days - 1 < :rhythm_purchase_days THEN :dormant_days ELSE greatest(
         :shortest_dormant_days, (:dormant_gaps * (s.previous_day - s.first_day) + s.days - 3) / (s.days - 2)) END
         THEN 'returned'
     WHEN :today - s.first_day < :new_days THEN 'new'
     WHEN :today - s.first_day >= :mature_days AND s.days >= :mature_purchase_days THEN 'mature'
     ELSE 'active' END
"""
_MANY = f"""
SELECT c.customer_id, c.kind, c.name, c.tags, c.owner, {_STATES},
       c.customer_id IN (SELECT r.customer_id FROM restricted_persons AS r) AS restricted
FROM customers AS c
{_JOINED}
WHERE NOT EXISTS (SELECT 1 FROM survivors AS v WHERE v.customer_id = c.customer_id) AND """
_FILTERS = {
    "after": "c.customer_id > :after",
    "q": "lower(c.name) LIKE :q",
    "tag": "c.tags @> ARRAY[CAST(:tag AS text)]",
    "owner": "c.owner = :owner",
    "tier": "t.tier = :tier",
    "risk": "t.risk_band = :risk",
    "lifecycle": f"{_STAGE} = :lifecycle",
    "segment": "EXISTS (SELECT 1 FROM placements AS p WHERE p.customer_id = c.customer_id"
    " AND p.segment = :segment AND p.class = :place)",
}
_UNRESTRICTED = "c.customer_id NOT IN (SELECT r.customer_id FROM restricted_persons AS r)"
_FACTS_AND_CONTACTS = """
SELECT kind, key, version, customer_id, encode(digest, 'hex') AS content, NULL AS due_at FROM facts
UNION ALL
SELECT status, contact_id, 0, customer_id, concat_ws(' ', purpose, channel, extract(epoch FROM sent_at)), due_at
FROM contacts
UNION ALL
SELECT begun_as, id, 0, customer_id, CAST(open AS text), NULL FROM complaints
ORDER BY 1, 2, 3
"""
# Of an order without a rate the sum says nothing.
_SPENT = """
SELECT CAST(coalesce(sum(house_net), 0) AS bigint) AS spent, count(*) > count(house_net) AS unconverted
FROM standing_orders WHERE customer_id = ANY(:ids) AND counts AND day > :after AND day <= :until
"""
_foreign = msgspec.json.Decoder(dict[str, Foreign])
_reasons = msgspec.json.Decoder(tuple[Reason, ...])
_forecast = msgspec.json.Decoder(Forecast)
# What is decoded are the last fields of each, but for when feedback came, which is nobody's to see.
_purchases = itemgetter(*Purchases.__struct_fields__[:-1])
_standing = itemgetter(*Standing.__struct_fields__[:-3])
_news = itemgetter(*ContactNews.__struct_fields__)
_NOWHERE_ELSE: Mapping[str, Foreign] = {}


async def one(tx: Tx, customer: str, ids: Sequence[str]) -> tuple[Said, ContactNews | None, list[str]]:
    """What the facts and the other services say of a customer, all his ids taken together, his next contact, and the
    segments he is in."""
    return beside((await fetch(tx, _ONE, customer=customer, ids=list(ids)))[0])


async def alone(reader: Reader, columns: str, customer: str) -> Row | None:
    """These columns of the file of somebody who has one id alone, what is ``beside`` it, and the number of
    ``policies``' rows; None of who is joined, or has no file."""
    return await reader.fetchrow(_alone(columns), customer)


def beside(row: Row) -> tuple[Said, ContactNews | None, list[str]]:
    """What a row of ``one`` or ``alone`` says."""
    next_contact = ContactNews(*_news(row)) if row["contact_id"] is not None else None
    return _said(row), next_contact, labels(row["places"])


async def spent(reader: Reader, ids: Sequence[str], after: date, until: date) -> int | None:
    """What these ids' orders of the days behind ``after`` come to, net of returns, in minor units of the house's
    currency; None where one has no rate."""
    row = (await fetch(reader, _SPENT, ids=list(ids), after=after, until=until))[0]
    return None if row["unconverted"] else row["spent"]


async def many(
    tx: Tx, filters: Mapping[str, str | None], policy: LifecyclePolicy, today: date, limit: int, *, restricted: bool
) -> list[Listed]:
    """Customers in the order of their ids, ids joined to others left out, and ``restricted`` ones unless asked for.

    A filter is an equality, ``q`` a prefix of the name, ``after`` an id.
    """
    given: dict[str, Any] = {name: value for name, value in filters.items() if value is not None}
    if "q" in given:
        given["q"] = _prefix(given["q"])
    conditions = " AND ".join([_FILTERS[name] for name in given] + ["true" if restricted else _UNRESTRICTED])
    if "lifecycle" in given:
        given |= {**msgspec.structs.asdict(policy), "today": today}
        del given["version"]
    if "segment" in given:
        given["segment"], given["place"] = of_label(given["segment"])
    rows = await fetch(tx, f"{_MANY}{conditions} ORDER BY c.customer_id LIMIT :limit", limit=limit, **given)
    return [
        Listed(row["customer_id"], row["kind"], row["name"], tuple(row["tags"]), row["owner"], _said(row))
        for row in rows
    ]


async def facts_and_contacts(tx: Tx) -> Sequence[Row]:
    """Every fact by its natural key and content, every contact and complaint by its last word; sorted."""
    return await fetch(tx, _FACTS_AND_CONTACTS)


@lru_cache(maxsize=8)
def _alone(columns: str) -> str:
    return _ALONE.format(columns)


def _said(row: Row) -> Said:
    elsewhere = _foreign.decode(row["elsewhere"]) if row["elsewhere"] else _NOWHERE_ELSE
    reasons = _reasons.decode(row["reasons"]) if row["reasons"] else ()
    forecast = _forecast.decode(row["forecast"]) if row["forecast"] else None
    purchases, standing = (*_purchases(row), elsewhere), (*_standing(row), reasons, forecast)
    return Said(Purchases(*purchases), Standing(*standing), row["restricted"])


def _prefix(name: str) -> str:
    return name.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
