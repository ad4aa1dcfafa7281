"""The four services, looked up by name; a service's code is imported only when it is wanted."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from shared.contracts.topics import SERVICES
from shared.service import Service, Surroundings
from shared.settings import ServiceSettings


@dataclass(frozen=True, slots=True)
class Entry:
    """How to build a service: ``build(surroundings, settings)``."""

    name: str
    build: Callable[[Surroundings, Any], Service]
    settings: type[ServiceSettings]


def entry(name: str) -> Entry:
    """The service of that name. Raises ValueError with the names there are."""
    if name not in SERVICES:
        raise ValueError(f"there is no service {name!r}: choose one of {', '.join(SERVICES)}")
    settings = import_module(f"services.{name}.settings")
    build = import_module(f"services.{name}.main").build
    return Entry(name, build, getattr(settings, f"{name.capitalize()}Settings"))
