"""What a contact says: liquid templates by purpose and locale, safe for texts that staff write."""

import html
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import msgspec

from services.engagement.templates import store
from shared.contracts.contacts import ContactPurpose
from shared.db import Tx

if TYPE_CHECKING:
    from liquid import BoundTemplate, Environment


class Rendered(msgspec.Struct, frozen=True):
    """A subject of one line, and the body as text and as HTML."""

    subject: str
    text: str
    html: str


class Templates:
    """The newest templates: (purpose, locale) -> (subject, body)."""

    def __init__(self, sources: Mapping[tuple[str, str], tuple[str, str]], default_locale: str) -> None:
        self._sources = sources
        self._default = default_locale

    def render(self, purpose: ContactPurpose, locale: str | None, name: str | None) -> Rendered:
        """The message in the customer's locale, else his language, else the default, else English."""
        subject, body = self._sources[purpose, self._locale(purpose, locale)]
        values = {"name": name or ""}
        text = _parsed(body).render(values)
        return Rendered(" ".join(_parsed(subject).render(values).split()), text, _as_html(text))

    def _locale(self, purpose: ContactPurpose, locale: str | None) -> str:
        known = {of_locale for of_purpose, of_locale in self._sources if of_purpose == purpose}
        for wish in (locale, self._default):
            parts = (wish or "").replace("_", "-").split("-")
            if "Hant" in parts or parts[-1].upper() in ("TW", "HK", "MO"):
                parts = [parts[0], "TW"]
            exact = "-".join((parts[0].lower(), *(part.upper() for part in parts[-1:] if len(parts) > 1)))
            if exact in known:
                return exact
            if alike := sorted(of_locale for of_locale in known if of_locale.split("-")[0] == parts[0].lower()):
                return alike[0]
        return "en"


async def load(tx: Tx, default_locale: str) -> Templates:
    """The newest version of every template."""
    return Templates(await store.newest(tx), default_locale)


@lru_cache(maxsize=512)
def _parsed(source: str) -> "BoundTemplate":
    return _environment().from_string(source)


@cache
def _environment() -> "Environment":
    # 4 MB that only a process which renders a message needs.
    from liquid import Environment

    return Environment()


def _as_html(text: str) -> str:
    """Escaped after rendering, so that neither a name nor a template can bring markup in."""
    paragraphs = html.escape(text).strip().split("\n\n")
    return "".join(f"<p>{paragraph}</p>".replace("\n", "<br>") for paragraph in paragraphs)
