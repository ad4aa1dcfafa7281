"""Settings that every service has, from the environment: ``ROOST_…`` for the house, ``PROFILE_…`` for one service."""

from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class HouseSettings(BaseSettings):
    """What the whole deployment agrees on (prefix ``ROOST_``)."""

    model_config = SettingsConfigDict(env_prefix="ROOST_", frozen=True, extra="ignore")

    currency: str = "TWD"
    time_zone: str = "Asia/Taipei"
    erasure_key: SecretStr | None = Field(default=None, min_length=32)
    """Keys the hashes of erased ids, and signs receipts: the same in every service, and for ever. By default made of
    the HTTP settings' secret, which then may never change either."""

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


class KafkaSettings(BaseSettings):
    """The broker and how it is read (prefix ``ROOST_KAFKA_``). Times in milliseconds."""

    model_config = SettingsConfigDict(env_prefix="ROOST_KAFKA_", frozen=True, extra="ignore")

    bootstrap_servers: str = "127.0.0.1:9092"
    partitions: int = 12
    replication_factor: int = 1
    enable_idempotence: bool = True
    compression: Literal["gzip", "snappy", "lz4", "zstd"] | None = None
    fetch_max_wait_ms: int = 500
    max_records: int = 500
    commit_ms: int = 250
    """How long what was applied may wait for its commit while more is read; 0 commits every batch. A crash brings as
    much again, and the inbox knows it."""
    session_timeout_ms: int = 30_000
    """How long a silent consumer keeps its partitions. Tansu forms a group in half of it."""
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    keep_published: bool = False
    """Embedded mode: published rows stay until every local group has committed them."""


class ServiceSettings(BaseSettings):
    """One service's own settings; each service sets the prefix."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    database_url: SecretStr = SecretStr("")
    database_owner_url: SecretStr = SecretStr("")
    pool_size: int = Field(default=8, ge=2)
    inbox_days: int = 37
    """Topic retention and 7 days: after that, natural keys alone tell duplicates."""
