"""Settings of a deployed service, from the environment: ``ROOST_…``, ``ROOST_KAFKA_…``, ``ROOST_HTTP_…``"""

from dataclasses import dataclass

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from deploy.catalogue import entry
from shared.clock import SystemClock
from shared.http.settings import HttpSettings
from shared.service import Surroundings
from shared.settings import HouseSettings, KafkaSettings, ServiceSettings


class HttpEnvironment(BaseSettings, HttpSettings):
    """``ROOST_HTTP_JWT_SECRET``, ``ROOST_HTTP_JWKS_URL``, ``ROOST_HTTP_CORS_ORIGINS``, …"""

    model_config = SettingsConfigDict(env_prefix="ROOST_HTTP_", frozen=True, extra="ignore")


class ServerSettings(BaseSettings):
    """Where ``roost serve`` listens.

    ``root_path``: the prefix that a gateway takes off, so that links and documentation name it again.
    """

    model_config = SettingsConfigDict(env_prefix="ROOST_", frozen=True, extra="ignore")

    host: str = "127.0.0.1"
    port: int = 8000
    root_path: str = Field(default="", pattern=r"^(/[A-Za-z0-9._~-]+)*$")
    log_level: str = "INFO"


@dataclass(frozen=True, slots=True)
class Deployed:
    """A service's settings and its surroundings, on the machine's clock."""

    surroundings: Surroundings
    settings: ServiceSettings


def deployed(name: str) -> Deployed:
    """The service ``name`` as the environment describes it. Raises pydantic's ValidationError naming what is wrong."""
    surroundings = Surroundings(
        house=HouseSettings(), kafka=KafkaSettings(), http=HttpEnvironment(), clock=SystemClock()
    )
    return Deployed(surroundings, entry(name).settings())
