"""Texts in the customer's language, safe whatever his name is."""

import json
from pathlib import Path

import pytest

import services.engagement.migrations as migrations
from services.engagement.templates.application import Templates

_SEED = json.loads((Path(migrations.__path__[0]) / "seed" / "templates.json").read_text(encoding="utf-8"))
TEMPLATES = Templates({(t["purpose"], t["locale"]): (t["subject"], t["body"]) for t in _SEED}, "en")


@pytest.mark.parametrize(
    ("locale", "subject"),
    [
        ("zh-TW", "好久不見"), ("zh-Hant", "好久不見"), ("zh_HK", "好久不見"), ("zh-CN", "好久不见"),
        ("zh", "好久不见"), ("de-DE", "We have missed you"), (None, "We have missed you"),
        ("", "We have missed you"),
    ],
)  # fmt: skip
def test_the_locale_chooses_the_text_and_english_is_left_for_the_rest(locale: str | None, subject: str) -> None:
    assert TEMPLATES.render("win-back", locale, None).subject == subject


def test_a_name_brings_no_markup_into_the_html_and_no_line_into_the_subject() -> None:
    texts = Templates({("cadence", "en"): ("Hi {{ name }}", "Dear {{ name }}")}, "en")
    rendered = texts.render("cadence", "en", "<b>\nBcc: x@example.org")
    assert rendered.subject == "Hi <b> Bcc: x@example.org"
    assert rendered.html == "<p>Dear &lt;b&gt;<br>Bcc: x@example.org</p>"


def test_without_a_name_the_greeting_stands_alone() -> None:
    assert TEMPLATES.render("welcome", "en", None).text.startswith("Hello,\n")


def test_every_purpose_has_an_english_text() -> None:
    for purpose in ("cadence", "win-back", "welcome", "after-purchase", "service"):
        assert TEMPLATES.render(purpose, "en", "x").text
