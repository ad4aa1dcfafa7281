"""Customers as planning sees them, policies and templates with their first versions, contacts, tasks, feedback."""

import json
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from alembic import op

from services.engagement.contacts.journal import DECISIONS_V1
from services.engagement.contacts.store import CONTACTS_V1
from services.engagement.customers.store import CUSTOMERS_V1
from services.engagement.feedback.store import FEEDBACK_V1
from services.engagement.policies.store import POLICIES_V1
from services.engagement.tasks.store import TASKS_V1
from services.engagement.templates.store import TEMPLATES_V1
from shared.migrations import SHARED_V1, run_sql

revision = "0001"
down_revision = None

_SEED = Path(__file__).parent.parent / "seed"
_AT = datetime(1970, 1, 1, tzinfo=UTC)


def upgrade() -> None:
    """The tables, and the house's defaults as first versions."""
    run_sql(
        *SHARED_V1, CUSTOMERS_V1, POLICIES_V1, CONTACTS_V1, DECISIONS_V1, TASKS_V1, TEMPLATES_V1, FEEDBACK_V1
    )
    policies = json.loads((_SEED / "policies.json").read_text(encoding="utf-8"))
    op.bulk_insert(
        sa.table("policies", *map(sa.column, ("name", "version", "body", "created_at", "created_by"))),
        [
            {"name": name, "version": 1, "body": json.dumps(body), "created_at": _AT, "created_by": "defaults"}
            for name, body in policies.items()
        ],
    )
    templates = json.loads((_SEED / "templates.json").read_text(encoding="utf-8"))
    op.bulk_insert(
        sa.table("templates", *map(sa.column, ("purpose", "locale", "version", "subject", "body", "created_at"))),
        [{**template, "version": 1, "created_at": _AT} for template in templates],
    )
