"""Standings and contacts by upserts that commute, and the pages of the timeline."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from services.profile.timeline.domain import ComplaintKey, ComplaintWord, ContactWord, Entry, Standing
from shared.db import Tx, columns, execute, fetch

_ADD = """
INSERT INTO standings AS s (customer_id, points, complaints, open_complaints, tier_sequence, tier, risk_sequence,
                            risk_band, risk_probability, risk_scored_at, reasons_sequence, scored_sequence, reasons,
                            forecast, feedback_at)
SELECT * FROM unnest(
    CAST(:customer_id AS text[]), CAST(:points AS bigint[]), CAST(:complaints AS int[]),
    CAST(:open_complaints AS int[]), CAST(:tier_sequence AS bigint[]), CAST(:tier AS text[]),
    CAST(:risk_sequence AS bigint[]), CAST(:risk_band AS text[]), CAST(:risk_probability AS float8[]),
    CAST(:risk_scored_at AS timestamptz[]), CAST(:reasons_sequence AS bigint[]),
    CAST(:scored_sequence AS bigint[]), CAST(:reasons AS bytea[]),
    CAST(:forecast AS bytea[]), CAST(:feedback_at AS timestamptz[])) AS new (customer_id)
ORDER BY customer_id
ON CONFLICT (customer_id) DO UPDATE SET
    points = s.points + excluded.points,
    complaints = s.complaints + excluded.complaints,
    open_complaints = s.open_complaints + excluded.open_complaints,
    tier_sequence = greatest(s.tier_sequence, excluded.tier_sequence),
    tier = CASE WHEN excluded.tier_sequence > s.tier_sequence THEN excluded.tier ELSE s.tier END,
    risk_sequence = greatest(s.risk_sequence, excluded.risk_sequence),
    risk_band = CASE WHEN excluded.risk_sequence > s.risk_sequence THEN excluded.risk_band ELSE s.risk_band END,
    risk_probability = CASE WHEN excluded.risk_sequence > s.risk_sequence
                            THEN excluded.risk_probability ELSE s.risk_probability END,
    risk_scored_at = CASE WHEN excluded.risk_sequence > s.risk_sequence
                          THEN excluded.risk_scored_at ELSE s.risk_scored_at END,
    reasons_sequence = greatest(s.reasons_sequence, excluded.reasons_sequence),
    reasons = CASE WHEN excluded.reasons_sequence > s.reasons_sequence THEN excluded.reasons ELSE s.reasons END,
    scored_sequence = greatest(s.scored_sequence, excluded.scored_sequence),
    forecast = CASE WHEN excluded.scored_sequence > s.scored_sequence THEN excluded.forecast ELSE s.forecast END,
    feedback_at = greatest(s.feedback_at, excluded.feedback_at)
"""
_COLUMNS = ("customer_id", *Standing.__struct_fields__)
# A contact counts as sent where its last word is one of these, at the instant it was handed over.
_SENT_AT = "CASE WHEN {0}.status IN ('sent', 'delivered', 'answered') THEN {0}.handed_at END"
_CONTACT = "customer_id, sequence, status, purpose, channel, due_at"
_TELL = f"""
INSERT INTO contacts AS c (contact_id, {_CONTACT}, handed_at, sent_at)
SELECT new.*, {_SENT_AT.format("new")} FROM unnest(
    CAST(:contact_id AS text[]), CAST(:customer_id AS text[]), CAST(:sequence AS bigint[]), CAST(:status AS text[]),
    CAST(:purpose AS text[]), CAST(:channel AS text[]), CAST(:due_at AS timestamptz[]),
    CAST(:handed_at AS timestamptz[])) AS new (contact_id, {_CONTACT}, handed_at)
ORDER BY contact_id
ON CONFLICT (contact_id) DO UPDATE SET ({_CONTACT}, handed_at, sent_at) = (
    SELECT {_CONTACT}, handed_at, {_SENT_AT.format("word")} FROM (
        SELECT {_CONTACT}, greatest(c.handed_at, excluded.handed_at) AS handed_at
        FROM (VALUES (c.customer_id, c.sequence, c.status, c.purpose, c.channel, c.due_at),
                     (excluded.customer_id, excluded.sequence, excluded.status, excluded.purpose, excluded.channel,
                      excluded.due_at)) AS words ({_CONTACT})
        ORDER BY sequence DESC LIMIT 1) AS word)
WHERE excluded.sequence > c.sequence OR c.handed_at IS DISTINCT FROM greatest(c.handed_at, excluded.handed_at)
"""
# An absent row locks nothing: rows of which nothing is known come first.
_COMPLAINED = """
INSERT INTO complaints (begun_as, id, customer_id, sequence, open)
SELECT begun_as, id, customer_id, -1, false FROM unnest(
    CAST(:begun_as AS text[]), CAST(:id AS text[]), CAST(:customer_id AS text[])) AS new (begun_as, id, customer_id)
ORDER BY begun_as, id
ON CONFLICT DO NOTHING
"""
_COMPLAINTS = """
SELECT begun_as, id, customer_id, sequence, open FROM complaints
JOIN unnest(CAST(:begun_as AS text[]), CAST(:id AS text[])) AS asked (begun_as, id) USING (begun_as, id)
ORDER BY begun_as, id FOR UPDATE OF complaints
"""
_TURN = """
UPDATE complaints AS c SET customer_id = new.customer_id, sequence = new.sequence, open = new.open
FROM unnest(CAST(:begun_as AS text[]), CAST(:id AS text[]), CAST(:customer_id AS text[]), CAST(:sequence AS bigint[]),
            CAST(:open AS boolean[])) AS new (begun_as, id, customer_id, sequence, open)
WHERE (c.begun_as, c.id) = (new.begun_as, new.id)
"""
# An id at a time by the index on (customer_id, occurred_at), backwards; a superseded order version falls out by the
# primary key.
_PAGE = """
SELECT e.* FROM unnest(CAST(:ids AS text[])) AS person (customer_id) CROSS JOIN LATERAL (
    (SELECT kind, occurred_at, source, event_id, body FROM facts AS f
    WHERE customer_id = person.customer_id
      AND (CAST(:kinds AS text[]) IS NULL OR kind = ANY(:kinds)) AND kind <> ALL(CAST(:untold AS text[]))
      AND (CAST(:before AS timestamptz) IS NULL OR occurred_at < :before)
      AND (CAST(:at AS timestamptz) IS NULL OR occurred_at <= :at)
      AND (CAST(:at AS timestamptz) IS NULL OR (occurred_at, source, event_id) < (:at, :source, :event_id))
      AND (kind <> 'purchase-recorded'
           OR NOT EXISTS (SELECT 1 FROM facts AS newer
                          WHERE newer.kind = f.kind AND newer.key = f.key AND newer.version > f.version))
    ORDER BY occurred_at DESC, source DESC, event_id DESC LIMIT :limit)
    UNION ALL
    (SELECT 'note', written_at, '/roost/profile', note_id, convert_to(CAST(json_build_object(
         'note_id', note_id, 'customer_id', customer_id, 'text', text, 'author', author) AS text), 'UTF8')
    FROM notes
    WHERE :notes AND customer_id = person.customer_id
      AND (CAST(:before AS timestamptz) IS NULL OR written_at < :before)
      AND (CAST(:at AS timestamptz) IS NULL OR (written_at, '/roost/profile', note_id) < (:at, :source, :event_id))
    ORDER BY written_at DESC, note_id DESC LIMIT :limit)
) AS e ORDER BY e.occurred_at DESC, e.source DESC, e.event_id DESC LIMIT :limit
"""


async def add(tx: Tx, standings: Mapping[str, Standing]) -> None:
    """Adds what a batch said to the standings, in the order of customers."""
    rows = [
        (
            customer, s.points, s.complaints, s.open_complaints, s.tier_sequence, s.tier, s.risk_sequence, s.risk_band,
            s.risk_probability, s.risk_scored_at, s.reasons_sequence, s.scored_sequence,
            msgspec.json.encode(s.reasons) if s.reasons_sequence else None,
            msgspec.json.encode(s.forecast) if s.forecast else None, s.feedback_at,
        )
        for customer, s in sorted(standings.items())
    ]  # fmt: skip
    if rows:
        await execute(tx, _ADD, **dict(zip(_COLUMNS, columns(rows, len(_COLUMNS)), strict=True)))


async def tell(tx: Tx, news: Mapping[str, ContactWord]) -> None:
    """The last word on contacts, unless a later one is known."""
    rows = [msgspec.structs.astuple(news[contact]) for contact in sorted(news)]
    if rows:
        names = ContactWord.__struct_fields__
        await execute(tx, _TELL, **dict(zip(names, columns(rows, len(names)), strict=True)))


async def complain(tx: Tx, news: Mapping[ComplaintKey, ComplaintWord]) -> dict[str, int]:
    """The last word on complaints, unless a later one is known; answers how many more each customer has open."""
    more: dict[str, int] = {}
    if not news:
        return more
    begun_as, ids, customers = columns([(*key, news[key].customer_id) for key in sorted(news)], 3)
    await execute(tx, _COMPLAINED, begun_as=begun_as, id=ids, customer_id=customers)
    turned = []
    for row in await fetch(tx, _COMPLAINTS, begun_as=begun_as, id=ids):
        key: ComplaintKey = row["begun_as"], row["id"]
        word = news[key]
        if word.sequence > row["sequence"]:
            turned.append((*key, *msgspec.structs.astuple(word)))
            more[row["customer_id"]] = more.get(row["customer_id"], 0) - row["open"]
            more[word.customer_id] = more.get(word.customer_id, 0) + word.open
    if turned:
        names = ("begun_as", "id", *ComplaintWord.__struct_fields__)
        await execute(tx, _TURN, **dict(zip(names, columns(turned, len(names)), strict=True)))
    return {customer: count for customer, count in more.items() if count}


async def page(
    tx: Tx,
    ids: Sequence[str],
    *,
    kinds: Sequence[str] | None,
    before: datetime | None,
    after: tuple[datetime, str, str] | None,
    limit: int,
    notes: bool,
    untold: Sequence[str],
) -> list[Entry]:
    """Entries of a person's ids, newest first, without kinds that are ``untold``; staff's notes where asked for."""
    at, source, event_id = after or (None, None, None)
    found = await fetch(
        tx,
        _PAGE,
        ids=list(ids),
        kinds=kinds,
        before=before,
        at=at,
        source=source,
        event_id=event_id,
        limit=limit,
        notes=notes,
        untold=list(untold),
    )
    return [Entry(**row) for row in found]
