"""Churn's own settings, from the environment (prefix ``CHURN_``)."""

from datetime import time

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings


class ChurnSettings(ServiceSettings):
    """``train_at`` and ``score_at``: wall-clock times of the nightly jobs in the house's zone."""

    model_config = SettingsConfigDict(env_prefix="CHURN_", frozen=True, extra="ignore")

    train_at: time = time(3)
    score_at: time = time(4)
    scoring_chunk: int = Field(default=1_000, ge=1)
    """Customers scored, locked and written in one transaction."""
