"""A product of the catalogue, as it stands."""

from datetime import datetime
from typing import Any

import msgspec

from shared.contracts.behaviour import ProductChanged


class Product(msgspec.Struct, frozen=True):
    """What the newest event, or the newest PUT, says of a product; ``version`` counts what was said."""

    data: ProductChanged
    changed_at: datetime
    version: int


def read(body: bytes) -> ProductChanged:
    """A product from its stored event."""
    return _decoder.decode(body)


def described(body: bytes) -> dict[str, Any]:
    """The columns by which products are found, of a stored event: the price in minor units."""
    product = read(body)
    return {
        "category": product.category,
        "currency": product.price.currency,
        "price": product.price.minor,
        "upgrade_of": product.upgrade_of,
        "accessory_of": list(product.accessory_of),
    }


_decoder = msgspec.json.Decoder(ProductChanged)
