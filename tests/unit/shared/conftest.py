"""The log as text, and logging as it was before."""

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from shared import observability
from shared.observability import configure_logging


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What is logged during the test, one JSON object a line."""
    monkeypatch.setattr(observability, "_json_lines", None)
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    out = io.StringIO()
    configure_logging(stream=out)
    yield out
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
