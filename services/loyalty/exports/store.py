"""Everything about a person that loyalty's own tables hold. Rows name the id that they were earned under."""

from shared.exports import Section, Sections

SECTIONS: Sections = {
    "accounts": Section("""
        SELECT a.customer_id, s.customer_id AS merged_into, a.opened_at, a.last_at, a.orders,
               CAST(convert_from(a.caps, 'UTF8') AS jsonb) AS caps, a.entries, encode(a.head, 'hex') AS head,
               a.unsettled
        FROM accounts AS a LEFT JOIN accounts AS s ON s.account_id = a.survivor_account_id
        WHERE a.customer_id = ANY(:ids) ORDER BY a.customer_id"""),
    "tiers": Section("""
        SELECT a.customer_id, t.tier, t.due_at, t.warned_for
        FROM tiers AS t JOIN accounts AS a USING (account_id)
        WHERE a.customer_id = ANY(:ids) ORDER BY a.customer_id"""),
    "enrolments": Section("""
        SELECT a.customer_id, e.enrolment_id, e.member_number, e.plan, e.enrolled_at, e.cancelled_at
        FROM enrolments AS e JOIN accounts AS a USING (account_id)
        WHERE a.customer_id = ANY(:ids) ORDER BY e.enrolled_at, e.enrolment_id"""),
    "enrolment_terms": Section("""
        SELECT t.enrolment_id, t.term, t.since, t.until, t.fee_minor, t.currency, t.recorded_at
        FROM enrolment_terms AS t JOIN enrolments AS e USING (enrolment_id) JOIN accounts AS a USING (account_id)
        WHERE a.customer_id = ANY(:ids) ORDER BY t.enrolment_id, t.term"""),
    "lots": Section("""
        SELECT a.customer_id, l.origin, l.source_id, l.occurred_at, l.currency, l.net_minor, l.points, l.reversed,
               l.programme_version, l.judged_with, l.available_from, l.expires_at, l.posted, l.posted_in, l.spent,
               l.held, l.repaid, l.owed, l.due_at
        FROM lots AS l JOIN accounts AS a USING (account_id)
        WHERE a.customer_id = ANY(:ids) ORDER BY l.occurred_at, l.source_id, l.origin"""),
    "pool_grants": Section("""
        SELECT a.customer_id, g.order_id, g.rule, g.period, g.asked, g.granted, g.used
        FROM pool_grants AS g
            JOIN lots AS l ON l.source_id = g.order_id AND l.origin = 'order'
            JOIN accounts AS a USING (account_id)
        WHERE a.customer_id = ANY(:ids) ORDER BY g.order_id, g.rule"""),
    "entries": Section("""
        SELECT a.customer_id, e.seq, e.kind, e.debit, e.credit, e.points, e.origin, e.source_id, e.programme_version,
               e.occurred_at, e.known_at, e.cause_source, e.cause_id, encode(e.hash, 'hex') AS hash
        FROM ledger AS e JOIN accounts AS a USING (account_id)
        WHERE a.customer_id = ANY(:ids) ORDER BY e.known_at, a.customer_id, e.seq"""),
    "takes": Section("""
        SELECT a.customer_id, t.take_id, t.kind, t.points, t.occurred_at, t.origins, t.source_ids, t.portions,
               t.foreign_points, t.rolled_back_at
        FROM takes AS t JOIN accounts AS a USING (account_id)
        WHERE a.customer_id = ANY(:ids) ORDER BY t.occurred_at, t.take_id"""),
    "adjustments": Section(
        """
        SELECT a.customer_id, d.adjustment_id, d.points, d.reason, d.expires_at, d.state, d.proposed_by, d.proposed_at,
               d.decided_by, d.decided_at
        FROM adjustments AS d JOIN accounts AS a USING (account_id)
        WHERE a.customer_id = ANY(:ids) ORDER BY d.proposed_at, d.adjustment_id""",
        for_staff=("proposed_by", "decided_by"),
    ),
    # Neither is told who the other was, or why it was given him.
    "transfers": Section(
        """
        SELECT CASE WHEN giver.customer_id = ANY(:ids) THEN giver.customer_id END AS from_customer_id,
               CASE WHEN taker.customer_id = ANY(:ids) THEN taker.customer_id END AS to_customer_id,
               t.transfer_id, t.points, CASE WHEN giver.customer_id = ANY(:ids) THEN t.reason END AS reason, t.actor,
               t.at
        FROM transfers AS t JOIN accounts AS giver ON giver.account_id = t.from_account_id
            JOIN accounts AS taker ON taker.account_id = t.to_account_id
        WHERE giver.customer_id = ANY(:ids) OR taker.customer_id = ANY(:ids) ORDER BY t.at, t.transfer_id""",
        for_staff=("actor",),
    ),
    "occasion_gifts": Section("""
        SELECT a.customer_id, g.rule, g.kind, g.occurred_at, g.day, g.programme_version, g.wanted, g.points,
               g.coupon_id, g.celebrated, g.celebrated_year
        FROM occasion_gifts AS g JOIN accounts AS a USING (account_id)
        WHERE a.customer_id = ANY(:ids) ORDER BY g.occurred_at, g.rule"""),
    "expiry_warnings": Section("""
        SELECT a.customer_id, w.day, w.points, w.told_at
        FROM expiry_warnings AS w JOIN accounts AS a USING (account_id)
        WHERE a.customer_id = ANY(:ids) ORDER BY w.day, a.customer_id"""),
    "celebrations": Section("""
        SELECT customer_id, sequence, birthday, zone, since, restricted, birthday_at, anniversary_at
        FROM celebrations WHERE customer_id = ANY(:ids) ORDER BY customer_id"""),
    "referral_codes": Section("""
        SELECT code, customer_id, created_at FROM referral_codes WHERE customer_id = ANY(:ids) ORDER BY created_at"""),
    # Of the other side it tells nothing, nor of his purchases; of one's own limit it does.
    "referrals": Section("""
        SELECT r.referral_id, CASE WHEN r.referee_id = ANY(:ids) THEN r.referee_id END AS referee_id,
               CASE WHEN r.referrer_id = ANY(:ids) THEN r.referrer_id END AS referrer_id,
               CASE WHEN r.referee_id = ANY(:ids) THEN r.order_id END AS order_id, r.code,
               CASE WHEN r.referee_id = ANY(:ids) THEN r.ordered_at END AS ordered_at,
               CASE WHEN r.referee_id = ANY(:ids) THEN r.qualifies_at END AS qualifies_at, r.programme_version, r.state,
               CASE WHEN r.referee_id = ANY(:ids) OR r.reason = 'limit-reached' THEN r.reason END AS reason,
               r.qualified_at, r.generation, r.granted,
               CASE WHEN r.referrer_id = ANY(:ids) THEN r.referrer_points END AS referrer_points,
               CASE WHEN r.referee_id = ANY(:ids) THEN r.referee_points END AS referee_points
        FROM referrals AS r WHERE r.referee_id = ANY(:ids) OR r.referrer_id = ANY(:ids) ORDER BY r.referral_id"""),
    "quotes": Section("""
        SELECT a.customer_id, q.quote_id, q.reward_id, q.reward_version, q.points, q.price, q.order_id, q.created_at,
               q.expires_at
        FROM quotes AS q JOIN accounts AS a USING (account_id)
        WHERE a.customer_id = ANY(:ids) ORDER BY q.created_at, q.quote_id"""),
    "redemptions": Section("""
        SELECT a.customer_id, r.redemption_id, r.hold_id, r.reward_id, r.reward_version, r.points, r.price, r.order_id,
               r.coupon_id, r.redeemed_at, r.rolled_back_at, r.rolled_back_because, r.fulfilment, r.fulfilment_at,
               r.due_at, r.overdue_told_at
        FROM redemptions AS r JOIN accounts AS a USING (account_id)
        WHERE a.customer_id = ANY(:ids) ORDER BY r.redeemed_at, r.redemption_id"""),
    "statements": Section("""
        SELECT a.customer_id, s.month, s.document
        FROM statements AS s JOIN accounts AS a USING (account_id)
        WHERE a.customer_id = ANY(:ids) ORDER BY s.month, a.customer_id"""),
    "holds": Section("""
        SELECT a.customer_id, h.hold_id, h.points, h.committed, h.state, h.created_at, h.expires_at, h.origins,
               h.source_ids, h.portions
        FROM holds AS h JOIN accounts AS a USING (account_id)
        WHERE a.customer_id = ANY(:ids) ORDER BY h.created_at, h.hold_id"""),
    "reward_uses": Section("""
        SELECT a.customer_id, u.use_id, u.reward_id, u.version, u.at, u.state, u.lapses_at, u.of_stock
        FROM reward_uses AS u JOIN accounts AS a USING (account_id)
        WHERE a.customer_id = ANY(:ids) ORDER BY u.at, u.use_id"""),
    "customer_segments": Section("""
        SELECT customer_id, segment, class, sequence, changed_at
        FROM customer_segments WHERE customer_id = ANY(:ids) ORDER BY customer_id, segment"""),
    "segment_history": Section("""
        SELECT customer_id, segment, sequence, class, occurred_at
        FROM segment_history WHERE customer_id = ANY(:ids) ORDER BY customer_id, segment, sequence"""),
    # Who used somebody else's isn't told whose it was, nor he who.
    "coupons": Section("""
        SELECT CASE WHEN c.customer_id = ANY(:ids) THEN c.customer_id END AS customer_id,
               CASE WHEN c.redeemed_by = ANY(:ids) THEN c.redeemed_by END AS redeemed_by,
               c.coupon_id, c.bearer, c.percent, c.discount_minor, c.min_spend_minor, c.currency, c.issued_at,
               c.expires_at, c.state, c.state_at, c.due_at, c.order_id, c.redemption_id, c.batch_id, c.voided_at,
               b.reason
        FROM coupons AS c LEFT JOIN coupon_batches AS b USING (batch_id)
        WHERE c.customer_id = ANY(:ids) OR c.redeemed_by = ANY(:ids) ORDER BY c.issued_at, c.coupon_id"""),
    # Of others' orders that have named his coupons he is told nothing.
    "coupon_claims": Section("""
        SELECT l.coupon_id, l.order_id, l.customer_id, l.occurred_at, l.stands, l.backfill, l.waived_at, l.given,
               l.told, l.conflict, l.reserved_until
        FROM coupon_claims AS l JOIN coupons AS c USING (coupon_id)
        WHERE l.customer_id = ANY(:ids) OR l.customer_id IS NULL AND NOT c.bearer AND c.customer_id = ANY(:ids)
        ORDER BY l.occurred_at, l.order_id, l.coupon_id"""),
}
_NUMBER = "our own number of the account, which customer_id stands for"
LEFT_OUT = {
    "accounts.account_id": _NUMBER,
    "accounts.survivor_account_id": "told as merged_into",
    "lots.account_id": _NUMBER,
    "ledger.account_id": _NUMBER,
    "takes.account_id": _NUMBER,
    "occasion_gifts.account_id": _NUMBER,
    "occasion_gifts.token": "a keyed hash, by which what happened is known when it is told again",
    "transfers.from_account_id": _NUMBER,
    "transfers.to_account_id": _NUMBER,
    "transfers.named": "an id of the person who got the points: neither is told who the other was",
    "adjustments.account_id": _NUMBER,
    "expiry_warnings.account_id": _NUMBER,
    "holds.account_id": _NUMBER,
    "statements.account_id": _NUMBER,
    "quotes.account_id": _NUMBER,
    "redemptions.account_id": _NUMBER,
    "tiers.account_id": _NUMBER,
    "enrolments.account_id": _NUMBER,
    "reward_uses.account_id": _NUMBER,
    "referrals.due_at": "when we look at it next",
    "referrals.edge": "told as reason",
    "referrals.verdict": "told as reason",
    "rewards": "what the house offers to everybody",
    "reward_versions": "what the house offers to everybody",
    "coupons.code": "whoever has it may use it: its customer reads it at /accounts/{customer_id}/coupons",
    "coupon_batches.coupons": "how many others got one, too",
    "coupon_batches.body": "what the coupons are worth, which each of them says",
    "effects": "what the house measures over everybody, of nobody",
    "pools": "what all customers were given of a budget together",
    "programmes": "rules of the house, of nobody",
    "simulations": "sums over everybody, of nobody",
    "tier_passes": "how far everybody was judged by a version",
}
"""Beside those that every service leaves out."""
