"""What a person's surviving file leaves empty, filled from his other files. Nothing of it is written anywhere."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from services.profile.customers.contact_points import KINDS
from services.profile.customers.domain import EDITABLE, MAPS, CustomerFile
from services.profile.customers.parts import whole


def filled(file: CustomerFile, others: Iterable[CustomerFile]) -> tuple[CustomerFile, dict[str, str]]:
    """The file with its empty parts from these others, and from which: ``{"birthday": "web:2002"}``.

    Of several the value that is true since latest fills in. What the file itself was said to be without stays empty,
    unless another is true since later.
    """
    held = {part for part, _ in _parts(file)}
    best: dict[str, tuple[datetime, str, Any]] = {}
    for other in sorted(others, key=lambda one: one.customer_id):
        for part, value in _parts(other):
            since = other.said_at.get(part, other.updated_at)
            known = best[part][0] if part in best else file.said_at.get(part)
            if part not in held and (known is None or since > known):
                best[part] = (since, other.customer_id, value)
    whole_again = msgspec.structs.replace(
        file,
        **whole(file, {part: value for part, (_, _, value) in best.items()}),
        said_at={**file.said_at, **{part: since for part, (since, _, _) in best.items()}},
    )
    return whole_again, {part: source for part, (_, source, _) in sorted(best.items())}


def _parts(file: CustomerFile) -> Iterator[tuple[str, Any]]:
    """What is known, by part; what isn't, isn't among it."""
    for name in EDITABLE:
        value = getattr(file, name)
        if name == "contact_points":
            for kind in KINDS:
                if points := tuple(point for point in value if point.kind == kind):
                    yield f"{name}.{kind}", points
        elif name in MAPS:
            for key, one in value.items():
                yield f"{name}.{key}", one
        elif value not in (None, ()):
            yield name, value
