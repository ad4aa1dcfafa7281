"""Logs as they are in production: without a configuration structlog would draw every traceback with its locals."""

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from shared.observability import configure_logging


@pytest.fixture(autouse=True, scope="module")
def log() -> Iterator[io.StringIO]:
    """What was logged so far, JSON by the line."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    configure_logging(level="INFO", stream=stream)
    yield stream
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)
