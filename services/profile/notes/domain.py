"""What staff write down of a customer, for whoever speaks to him next."""

from datetime import datetime

import msgspec

MAX_TEXT = 4000


class Note(msgspec.Struct, frozen=True):
    """A note as it was written; nothing in it changes. ``author``: the subject of the token it was written with."""

    note_id: str
    customer_id: str
    text: str
    author: str
    written_at: datetime
