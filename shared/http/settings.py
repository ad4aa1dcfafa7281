"""Settings of a service's HTTP side, nested in the service's own settings class."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

MIN_SECRET_BYTES = 32


class HttpSettings(BaseModel):
    """How one service speaks HTTP. Needs `jwt_secret` (HS256) or `jwks_url`, not both.

    `app_secret` keys the HMAC of idempotent bodies; it defaults to `jwt_secret`. Both take 32 bytes or more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    jwt_secret: SecretStr | None = None
    jwks_url: str | None = None
    jwks_cache_seconds: float = Field(default=300.0, gt=0)
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    app_secret: SecretStr | None = None
    cors_origins: tuple[str, ...] = ()
    public_metrics: bool = True
    metrics_scope: str = "metrics:read"
    max_body_bytes: int = Field(default=1_048_576, gt=0)
    ready_timeout_seconds: float = Field(default=2.0, gt=0)

    @field_validator("jwt_secret", "app_secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"a secret needs {MIN_SECRET_BYTES} bytes or more (RFC 7518, 3.2)")
        return secret

    @model_validator(mode="after")
    def _one_way_to_check_tokens(self) -> Self:
        if (self.jwt_secret is None) == (self.jwks_url is None):
            raise ValueError("give either jwt_secret or jwks_url")
        if self.jwt_secret is None and self.app_secret is None:
            raise ValueError("app_secret is needed where there is no jwt_secret")
        return self

    @property
    def hmac_key(self) -> bytes:
        """The key of the HMAC over idempotent bodies."""
        secret = self.app_secret or self.jwt_secret
        assert secret is not None, "the validator keeps one of the two"
        return secret.get_secret_value().encode()
