"""The table of templates: versions are added, never changed."""

from shared.db import Tx, fetch

TEMPLATES_V1 = """
CREATE TABLE templates (
    purpose text NOT NULL,
    locale text NOT NULL,
    version integer NOT NULL,
    subject text NOT NULL,
    body text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (purpose, locale, version)
);
"""

_NEWEST = """
SELECT DISTINCT ON (purpose, locale) purpose, locale, subject, body FROM templates
ORDER BY purpose, locale, version DESC
"""


async def newest(tx: Tx) -> dict[tuple[str, str], tuple[str, str]]:
    """(purpose, locale) -> (subject, body)."""
    return {
        (row["purpose"], row["locale"]): (row["subject"], row["body"]) for row in await fetch(tx, _NEWEST)
    }
