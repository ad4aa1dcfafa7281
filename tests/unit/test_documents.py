"""What the documents say is true: their events are valid, their links lead somewhere, no topic is left out."""

import re
from pathlib import Path

import pytest

from shared.contracts.topics import TOPICS
from shared.messaging.envelope import read_event
from tests.kit.builders import NOW

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("services/*/README.md")])
EVENT = re.compile(r"```json\n(\{\"specversion\".*?)```", re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


@pytest.mark.parametrize("document", ["README.md", "docs/events.md"])
def test_a_documented_event_is_valid(document: str) -> None:
    events = EVENT.findall((ROOT / document).read_text())
    assert events
    for event in events:
        assert read_event(event.encode(), NOW).topic.name == "purchase-recorded"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_link_leads_somewhere(document: Path) -> None:
    assert not [link for link in LINK.findall(document.read_text()) if not (document.parent / link).exists()]


def test_the_guide_names_every_topic() -> None:
    guide = (ROOT / "docs/events.md").read_text()
    assert not [name for name in TOPICS if f"`{name}`" not in guide]
