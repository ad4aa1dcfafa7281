"""Everything about a person that stands in tables and needs no key: a statement a section, a JSON object a row."""

from shared.exports import SHARED, Section, Sections

# What other modules open with the customer's key (addresses, their history, contact persons, identifiers) is read
# through them.
SECTIONS: Sections = {
    "notes": Section(
        "SELECT *, 'staff' AS written_by FROM notes WHERE customer_id = ANY(:ids) ORDER BY written_at, note_id",
        for_staff=("author",),
    ),
    "consents": Section("""
        SELECT customer_id, channel, purpose, granted, source, wording_version, recorded_at
        FROM consents WHERE customer_id = ANY(:ids) ORDER BY id"""),
    "contact_person_consents": Section("""
        SELECT customer_id, person_id, channel, purpose, granted, source, wording_version, recorded_at
        FROM contact_person_consents WHERE customer_id = ANY(:ids) ORDER BY id"""),
    "merges": Section("""
        SELECT m.*, ARRAY(SELECT v.occurred_at FROM merge_versions AS v WHERE v.merge_id = m.merge_id
                          ORDER BY v.version) AS changed_at
        FROM merges AS m WHERE from_id = ANY(:ids) OR into_id = ANY(:ids) ORDER BY occurred_at, merge_id"""),
    "restrictions": Section(
        "SELECT * FROM restrictions WHERE customer_id = ANY(:ids) ORDER BY id",
        for_staff=("restricted_by", "lifted_by"),
    ),
    "orders": Section("""
        SELECT customer_id, order_id, occurred_at, channel, currency, total, net, counts, cancelled, skus
        FROM standing_orders WHERE customer_id = ANY(:ids) ORDER BY occurred_at, order_id"""),
    "purchases": Section("""
        SELECT customer_id, orders, spend, days, first_day, last_day, first_at, last_at
        FROM purchase_states WHERE customer_id = ANY(:ids) ORDER BY customer_id"""),
    "standings": Section("""
        SELECT customer_id, points, complaints, open_complaints, feedback_at, tier, risk_band, risk_probability,
               risk_scored_at,
               CAST(convert_from(reasons, 'UTF8') AS jsonb) AS risk_reasons,
               CAST(convert_from(forecast, 'UTF8') AS jsonb) AS forecast
        FROM standings WHERE customer_id = ANY(:ids) ORDER BY customer_id"""),
    "contacts": Section("""
        SELECT contact_id, customer_id, status, purpose, channel, due_at, sent_at
        FROM contacts WHERE customer_id = ANY(:ids) ORDER BY due_at, contact_id"""),
    "complaints": Section("""
        SELECT begun_as, id, customer_id, open FROM complaints WHERE customer_id = ANY(:ids) ORDER BY begun_as, id"""),
    "segments": Section("""
        SELECT customer_id, segment, class, since, rule_version, next_transition_at, inputs
        FROM placements WHERE customer_id = ANY(:ids) ORDER BY customer_id, segment"""),
    "segment_history": Section("""
        SELECT customer_id, segment, from_class, to_class, at, rule_version, cause, inputs
        FROM placement_history WHERE customer_id = ANY(:ids) ORDER BY at, id"""),
    "rhythm_drops": Section("SELECT * FROM rhythm_drops WHERE customer_id = ANY(:ids) ORDER BY customer_id, last_day"),
    "imports": Section(
        """
        SELECT i.customer_id, i.import_id, i.created, f.name, f.created_at, f.created_by,
               ARRAY(SELECT code FROM import_leftovers AS l
                     WHERE l.import_id = i.import_id AND l.customer_id = i.customer_id ORDER BY code) AS left_by_revert
        FROM import_customers AS i JOIN imports AS f USING (import_id)
        WHERE i.customer_id = ANY(:ids) AND NOT f.dry_run ORDER BY f.created_at, i.import_id, i.chunk""",
        for_staff=("created_by",),
    ),
    "refused_rows": Section("""
        SELECT customer_id, import_id, row, code, pointer, detail
        FROM import_faults WHERE customer_id = ANY(:ids) ORDER BY import_id, row, position"""),
    "events": SHARED["events"],
    "dead_letters": SHARED["dead_letters"],
}
TABLES = frozenset(
    {
        "notes", "consents", "contact_person_consents",
        "restrictions", "standing_orders", "facts", "purchase_states", "standings", "contacts",
        "complaints", "placements", "placement_history", "rhythm_drops", "import_customers", "import_leftovers",
        "import_faults",
    }
)  # fmt: skip
"""The tables with a column ``customer_id`` that the sections read."""
OPENED = frozenset({"customers", "contact_points", "file_fields", "contact_persons", "identifiers", "survivors"})
"""Those that are read through their modules."""
LEFT_OUT = {
    "customer_keys": "the wrapped key of what is exported in the clear",
    "match_keys": "numbers made of names and addresses, to find files that may be one person's",
    "match_marks": "a queue: whom to look at for duplicates, for seconds",
    "placement_marks": "a queue: whom to place in segments, for seconds",
    "placement_queue": "a queue: whom to place in segments, for seconds",
    "sequences": "how many events were published",
    "import_differences": "what a dry run found for some days; nothing of it was written into the file",
    "restricted_persons": "made of restrictions, which are exported",
}
"""The others, and why nobody needs them who wants to know what is known of him."""
