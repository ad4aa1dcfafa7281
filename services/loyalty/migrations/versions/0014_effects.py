"""What a rule or a reward has brought, against those who were left out of it."""

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Nothing."""
