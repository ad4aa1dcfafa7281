"""Profile's own settings, prefix ``PROFILE_``."""

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from shared.http.settings import MIN_SECRET_BYTES
from shared.settings import ServiceSettings


class ProfileSettings(ServiceSettings):
    """``phone_region``: the country (ISO 3166-1 alpha-2) of phone numbers written without a country code.

    ``master_key``: the secret, of 32 bytes or more, under which every customer's own key is wrapped; without it no
    address is ever read again. ``master_key_before``: the one that it replaces, until everything is wrapped anew.
    """

    model_config = SettingsConfigDict(env_prefix="PROFILE_", frozen=True, extra="ignore")

    phone_region: str = "TW"
    master_key: SecretStr = Field(default=SecretStr(""), validate_default=True)
    master_key_before: SecretStr | None = None

    @field_validator("master_key")
    @classmethod
    def _long_enough(cls, secret: SecretStr) -> SecretStr:
        if not secret.get_secret_value():
            raise ValueError("set PROFILE_MASTER_KEY: addresses are sealed under it")
        if len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"PROFILE_MASTER_KEY needs {MIN_SECRET_BYTES} bytes or more")
        return secret

    @property
    def master_secrets(self) -> tuple[str, ...]:
        """The master keys' secrets, the newest first."""
        given = (self.master_key, self.master_key_before)
        return tuple(secret.get_secret_value() for secret in given if secret)
