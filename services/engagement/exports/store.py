"""Everything about a person that engagement's own tables hold."""

from shared.exports import Section, Sections

SECTIONS: Sections = {
    "states": Section(
        """
        SELECT customer_id, CAST(convert_from(state, 'UTF8') AS jsonb) AS state, planned_at, plan_due_at,
               CAST(plan_trigger AS jsonb) AS plan_trigger, verify_at
        FROM customers WHERE customer_id = ANY(:ids) ORDER BY customer_id""",
        for_staff=("state.file.owner",),
    ),
    "contacts": Section(
        """
        SELECT id, customer_id, purpose, channel, status, due_at, hand_over_at, made_at, created_at, closed_at,
               closed_reason, policy_version, episode, episode_of, CAST(reasons AS jsonb) AS reasons,
               CAST(trigger AS jsonb) AS trigger, assignee, pinned, task_id, attempts, taken_back, ended_joined, version
        FROM contacts WHERE customer_id = ANY(:ids) ORDER BY created_at, id""",
        for_staff=("assignee",),
    ),
    "decisions": Section("""
        SELECT id, contact_id, customer_id, purpose, gate, passed, policy, policy_version, fact, earliest_at, decided_at
        FROM decisions WHERE customer_id = ANY(:ids) ORDER BY id"""),
    "tasks": Section(
        """
        SELECT id, kind, customer_id, title, due_at, created_at, status, contact_id, feedback_id, assignee, outcome,
               note, closed_at
        FROM tasks WHERE customer_id = ANY(:ids) ORDER BY created_at, id""",
        for_staff=("assignee",),
    ),
    "feedback": Section("""
        SELECT feedback_id, customer_id, kind, channel, text, CAST(photos AS jsonb) AS photos, occurred_at, received_at
        FROM feedback WHERE customer_id = ANY(:ids) ORDER BY received_at, feedback_id"""),
}
LEFT_OUT = {
    "policies": "rules of the house, of nobody",
    "templates": "what mails say to everybody",
}
"""Beside those that every service leaves out."""
