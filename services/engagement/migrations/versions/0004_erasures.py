"""The keyed hashes of erased ids, and which erasures were applied."""

from shared.messaging.erased import FOR_EVER
from shared.messaging.erasures import ERASURES_V1
from shared.migrations import role, run_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Two tables and a function."""
    run_sql(ERASURES_V1, FOR_EVER.format(role()))
