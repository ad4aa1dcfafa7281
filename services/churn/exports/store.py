"""Everything about a person that churn's own tables hold."""

from shared.exports import Section, Sections

_BANDS = "(ARRAY['low', 'at-risk', 'critical'])"
SECTIONS: Sections = {
    "scores": Section(f"""
        SELECT customer_id, probability, published, {_BANDS}[band + 1] AS band, value_at_risk, model_version, scored_at,
               n_occasions, CASE WHEN first_day > 0 THEN DATE '0001-01-01' + (first_day - 1) END AS first_day,
               CASE WHEN last_day > 0 THEN DATE '0001-01-01' + (last_day - 1) END AS last_day, n_valued, net_minor,
               joined, loaded, CAST(convert_from(statistics, 'UTF8') AS jsonb) AS statistics
        FROM customers WHERE customer_id = ANY(:ids) ORDER BY customer_id"""),
    "crossings": Section(f"""
        SELECT id, customer_id, crossed_at, {_BANDS}[from_band + 1] AS from_band, {_BANDS}[to_band + 1] AS to_band,
               cause, probability, model_version
        FROM crossings WHERE customer_id = ANY(:ids) ORDER BY id"""),
}
LEFT_OUT = {
    "models": "fitted on everybody, and of nobody",
    "policies": "rules of the house, of nobody",
    "scorings": "how many were scored, of everybody",
}
"""Beside those that every service leaves out."""
