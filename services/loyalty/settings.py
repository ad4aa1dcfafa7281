"""Settings of the loyalty service: ``LOYALTY_…``."""

from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings


class LoyaltySettings(ServiceSettings):
    """What every service has; the programme's rules are data, not settings."""

    model_config = SettingsConfigDict(env_prefix="LOYALTY_", frozen=True, extra="ignore")
