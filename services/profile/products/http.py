"""The routes of the catalogue."""

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.profile import examples
from services.profile.fields import PRINTABLE, Id, outgoing_trace
from services.profile.products.application import Catalogue, NewerIsKnown
from services.profile.products.domain import Product
from shared.contracts.behaviour import PriceClass, ProductChanged
from shared.contracts.types import AMOUNT, Money
from shared.db import Database
from shared.http.auth import Principal, requires, staff_only
from shared.http.etags import Precondition, etag, if_match_or_new, require_or_new
from shared.http.pagination import Page, PageRequest
from shared.http.problems import conflict, invalid, not_found
from shared.http.routing import Router
from shared.service import Wake

_FIELDS: dict[str, Any] = {
    "name": "Oolong, 150 g",
    "category": "tea",
    "price": {"amount": "480.00", "currency": "TWD"},
    "price_class": "everyday",
    "durable": False,
    "accessory_of": ["tea-pot-1"],
    "upgrade_of": "tea-1",
}
_EXAMPLE = {"sku": "tea-2", **_FIELDS, "changed_at": "2026-11-20T08:15:00Z"}
_ETAG = examples.etag("the product")

Sku = Annotated[str, Path(pattern=PRINTABLE)]


class Price(BaseModel):
    """A decimal string in a currency of ISO 4217, with at most as many decimals as the currency has."""

    model_config = ConfigDict(extra="forbid")

    amount: Annotated[str, Field(pattern=AMOUNT.removesuffix(r"(?!\n)"))]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]

    @model_validator(mode="after")
    def _is_money(self) -> Self:
        Money(amount=self.amount, currency=self.currency)
        return self


class ProductFields(BaseModel):
    """A product as a PUT writes it, whole. ``accessory_of`` and ``upgrade_of`` name other products by their skus."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _FIELDS})

    name: Annotated[str, Field(min_length=1, max_length=500)]
    category: Id
    price: Price
    price_class: PriceClass | None = None
    durable: bool | None = None
    accessory_of: list[Id] = Field(default=[], max_length=100)
    upgrade_of: Id | None = None


class ProductView(ProductFields):
    """A product as it stands, since ``changed_at``."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    sku: str
    changed_at: datetime


def products_router(catalogue: Catalogue, db: Database, wake: Wake) -> Router:
    """``GET /products``, ``GET|PUT /products/{sku}``; what is on the shelf is no secret from customers."""
    router = Router(tags=["products"])

    @router.get("/products", responses=examples.answer({"items": [_EXAMPLE], "next_cursor": None}))
    async def list_products(
        _: Annotated[Principal, requires("profile:read")],
        paging: PageRequest,
        category: Annotated[Id | None, Query(description="Only products of this category")] = None,
    ) -> Page[ProductView]:
        """The catalogue, in the order of skus."""
        after = paging.after(tuple[str])
        async with db.transaction() as tx:
            found = await catalogue.page(tx, category, after=after[0] if after else None, limit=paging.limit + 1)
        cursor = paging.next_cursor(found, lambda product: (product.data.sku,))
        return Page(items=[_view(product) for product in found[: paging.limit]], next_cursor=cursor)

    @router.get("/products/{sku:path}", responses=examples.answer(_EXAMPLE, **_ETAG))
    async def read_product(
        _: Annotated[Principal, requires("profile:read")], sku: Sku, response: Response
    ) -> ProductView:
        """A product as the newest event, or the newest PUT, has it."""
        async with db.transaction() as tx:
            product = await catalogue.find(tx, sku)
        if product is None:
            raise not_found("There is no such product.")
        response.headers["ETag"] = etag(product.version)
        return _view(product)

    @router.put("/products/{sku:path}", responses=examples.answer(_EXAMPLE, **_ETAG))
    async def put_product(
        _: Annotated[Principal, staff_only("profile:write")],
        sku: Sku,
        match: Annotated[Precondition | None, if_match_or_new()],
        fields: ProductFields,
        response: Response,
    ) -> ProductView:
        """Writes a product whole, and publishes it as `product-changed`. One that is there needs If-Match."""
        if fields.upgrade_of == sku or sku in fields.accessory_of:
            raise invalid("/upgrade_of", "A product is no upgrade and no accessory of itself.")
        async with db.transaction() as tx:
            known = await catalogue.locked(tx, sku)
            require_or_new(match, known.version if known else None)
            try:
                product = await catalogue.put(tx, _changed(sku, fields), known, outgoing_trace())
            except NewerIsKnown as error:
                detail = "What is known of this product holds from a later time on than now."
                raise conflict(error.code, detail) from error
        wake()
        response.headers["ETag"] = etag(product.version)
        return _view(product)

    return router


def _changed(sku: str, fields: ProductFields) -> ProductChanged:
    return ProductChanged(
        sku=sku,
        name=fields.name,
        category=fields.category,
        price=Money(amount=fields.price.amount, currency=fields.price.currency),
        price_class=fields.price_class,
        durable=fields.durable,
        accessory_of=tuple(fields.accessory_of),
        upgrade_of=fields.upgrade_of,
    )


def _view(product: Product) -> ProductView:
    data = product.data
    return ProductView(
        sku=data.sku,
        name=data.name,
        category=data.category,
        price=Price(amount=data.price.amount, currency=data.price.currency),
        price_class=data.price_class,
        durable=data.durable,
        accessory_of=list(data.accessory_of),
        upgrade_of=data.upgrade_of,
        changed_at=product.changed_at,
    )
