"""Engagement's own settings, from the environment (prefix ``ENGAGEMENT_``)."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings


class EngagementSettings(ServiceSettings):
    """``profile_url`` is asked for addresses and consents; without ``smtp_host`` every contact becomes a staff task.

    ``internal_token``: a token of scope ``internal`` where tokens come from a JWKS URL and none can be made here.
    """

    model_config = SettingsConfigDict(env_prefix="ENGAGEMENT_", frozen=True, extra="ignore")

    profile_url: str = "http://127.0.0.1:8080/profile"
    internal_token: SecretStr | None = None
    locale: str = "en"
    """What a customer without a locale is written in, where there is a template."""

    smtp_host: str | None = None
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    smtp_sender: str = "roost@localhost"
