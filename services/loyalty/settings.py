"""Settings of the loyalty service: ``LOYALTY_…``."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings


class LoyaltySettings(ServiceSettings):
    """What every service has; the programme's rules are data, not settings."""

    model_config = SettingsConfigDict(env_prefix="LOYALTY_", frozen=True, extra="ignore")

    adjustment_threshold: int = Field(default=1_000, ge=0)
    """How many points one actor may give and take by hand, in sum, of one person on a day; more need a second one."""

    customers_transfer: bool = False
    """Whether a customer may give his points to another himself; else staff does."""
