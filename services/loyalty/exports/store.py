"""Everything about a person that loyalty's own tables hold. Rows name the id that they were earned under."""

from shared.exports import Section, Sections

SECTIONS: Sections = {
    "accounts": Section("""
        SELECT a.customer_id, s.customer_id AS merged_into, a.opened_at, a.last_at, a.orders,
               CAST(convert_from(a.caps, 'UTF8') AS jsonb) AS caps, a.entries, encode(a.head, 'hex') AS head
        FROM accounts AS a LEFT JOIN accounts AS s ON s.account_id = a.survivor_account_id
        WHERE a.customer_id = ANY(:ids) ORDER BY a.customer_id"""),
    "tiers": Section("""
        SELECT a.customer_id, t.tier, t.due_at, t.warned_for
        FROM tiers AS t JOIN accounts AS a USING (account_id)
        WHERE a.customer_id = ANY(:ids) ORDER BY a.customer_id"""),
    "lots": Section("""
        SELECT a.customer_id, l.order_id, l.occurred_at, l.currency, l.net_minor, l.points, l.reversed,
               l.programme_version, l.judged_with, l.available_from, l.expires_at, l.posted, l.posted_in, l.due_at
        FROM lots AS l JOIN accounts AS a USING (account_id)
        WHERE a.customer_id = ANY(:ids) ORDER BY l.occurred_at, l.order_id"""),
    "entries": Section("""
        SELECT a.customer_id, e.seq, e.kind, e.debit, e.credit, e.points, e.order_id, e.programme_version,
               e.occurred_at, e.known_at, e.cause_source, e.cause_id, encode(e.hash, 'hex') AS hash
        FROM ledger AS e JOIN accounts AS a USING (account_id)
        WHERE a.customer_id = ANY(:ids) ORDER BY e.known_at, a.customer_id, e.seq"""),
}
_NUMBER = "our own number of the account, which customer_id stands for"
LEFT_OUT = {
    "accounts.account_id": _NUMBER,
    "accounts.survivor_account_id": "told as merged_into",
    "lots.account_id": _NUMBER,
    "ledger.account_id": _NUMBER,
    "tiers.account_id": _NUMBER,
    "programmes": "rules of the house, of nobody",
    "tier_passes": "how far everybody was judged by a version",
}
"""Beside those that every service leaves out."""
