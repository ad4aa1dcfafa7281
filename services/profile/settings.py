"""Profile's own settings, prefix ``PROFILE_``."""

from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings


class ProfileSettings(ServiceSettings):
    """``phone_region``: the country (ISO 3166-1 alpha-2) of phone numbers written without a country code."""

    model_config = SettingsConfigDict(env_prefix="PROFILE_", frozen=True, extra="ignore")

    phone_region: str = "TW"
