"""Who asks: bearer tokens, scopes, and customers who see nobody but themselves."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from fastapi import Depends
from starlette.requests import Request

from shared.http.gates import Gate, Mark
from shared.http.problems import forbidden, not_found, unauthorized
from shared.http.settings import HttpSettings

if TYPE_CHECKING:
    from shared.http.jwks import KeySet

ADMIN = "admin"
_REMEMBERED_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a token speaks for: with a `customer_id` that customer, without one staff or another system."""

    subject: str
    scopes: frozenset[str]
    customer_id: str | None = None

    def has(self, scope: str) -> bool:
        """Whether the token carries this scope; `admin` includes all."""
        return scope in self.scopes or ADMIN in self.scopes

    def may_see(self, customer_id: str, *aliases: str) -> bool:
        """Whether this customer's data is the caller's to see.

        `aliases`: other ids of the same person, as merges leave them.
        """
        return self.customer_id is None or self.customer_id == customer_id or self.customer_id in aliases


def own_or_404(principal: Principal, customer_id: str, *aliases: str) -> None:
    """Raises the 404 that other customers' objects answer, so that nobody learns which of them exist."""
    if not principal.may_see(customer_id, *aliases):
        raise not_found()


def requires(scope: str, *alternatives: str) -> Any:
    """A dependency on a token with `scope` or one of the alternatives.

    `Annotated[Principal, requires("profile:read")]`. The caller may be a customer: check with `own_or_404`
    whose data he asks for.
    """
    return Depends(Access((scope, *alternatives)))


def staff_only(scope: str, *alternatives: str) -> Any:
    """As `requires`, for lists and staff routes: a customer's token is refused with 403."""
    return Depends(Access((scope, *alternatives), customers=False))


def public() -> Any:
    """Marks a route that needs no token (health, or one with a signature or link token of its own)."""
    return Depends(Public())


class Public(Mark):
    """A route that needs no token says so, and is open on purpose."""


class Access(Gate[Principal]):
    """401 without a valid token; 403 without one of the scopes, or for a customer where none is let in."""

    rank = 0
    statuses = (401, 403)

    def __init__(self, scopes: tuple[str, ...], *, customers: bool = True) -> None:
        self.scopes = scopes
        self.customers = customers

    async def admit(self, request: Request) -> Principal:
        """The token's principal. Raises ProblemError 401 or 403."""
        header = request.headers.get("authorization")
        if header is None:
            raise unauthorized("This needs a bearer token.")
        kind, _, token = header.partition(" ")
        if kind.lower() != "bearer" or not (token := token.strip()):
            raise unauthorized("Authorization must be a bearer token.", error="invalid_request")
        tokens: Tokens = request.app.state.tokens
        principal = await tokens.principal(token)
        if not any(principal.has(scope) for scope in self.scopes):
            raise forbidden(f"The token lacks the scope {' or '.join(self.scopes)}.", code="insufficient-scope")
        if not self.customers and principal.customer_id is not None:
            raise forbidden("This isn't open to customers.", code="staff-only")
        return principal


class Tokens:
    """Checks JSON Web Tokens by HS256 secret or by the keys of a JWKS URL.

    `exp` is required and held against the machine's clock, never the service's virtual one: a token is
    security, and a clock that anybody may set forward or hold still must not decide how long it lives.
    """

    def __init__(self, settings: HttpSettings) -> None:
        self._secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else None
        self._keys = _key_set(settings) if settings.jwks_url else None
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._remembered: dict[str, tuple[Principal, float]] = {}
        self._generation = 0

    async def principal(self, token: str) -> Principal:
        """Who the token speaks for. Raises ProblemError 401, and 503 while no JWKS was ever fetched."""
        if self._keys is not None and self._keys.generation != self._generation:
            self._remembered.clear()
            self._generation = self._keys.generation
        remembered = self._remembered.get(token)
        if remembered is not None and time.time() < remembered[1] and not self._is_stale():
            return remembered[0]
        # It loads cryptography, 9 MB: a process that no request reaches goes without.
        import jwt

        try:
            claims = await self._claims(token)
            principal = _principal(claims)
        except jwt.ExpiredSignatureError:
            raise unauthorized("The token has expired.", error="invalid_token") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise unauthorized("The token is not valid.", error="invalid_token") from None
        if len(self._remembered) >= _REMEMBERED_TOKENS:
            self._remembered.clear()
        self._remembered[token] = (principal, float(claims["exp"]))
        return principal

    def _is_stale(self) -> bool:
        return self._keys is not None and self._keys.is_stale()

    async def _claims(self, token: str) -> Mapping[str, Any]:
        import jwt

        key: Any = self._secret
        algorithms = ["HS256"]
        if self._keys is not None:
            from shared.http.jwks import ASYMMETRIC

            found = await self._keys.find(jwt.get_unverified_header(token).get("kid"))
            key, algorithms = found.key, [name for name in ASYMMETRIC if name == found.algorithm_name]
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=algorithms,
            issuer=self._issuer,
            audience=self._audience,
            options={"require": ["exp", "sub"], "verify_aud": self._audience is not None},
        )
        return claims


def issue_token(
    secret: str,
    scope: str,
    customer_id: str | None = None,
    ttl: timedelta = timedelta(hours=12),
    now: datetime | None = None,
    *,
    subject: str = "developer",
) -> str:
    """An HS256 token for development and tests.

    `scope`: space-separated; `now`: aware, by default the machine's clock.
    """
    import jwt

    issued = now or datetime.now(UTC)
    claims = {"sub": subject, "scope": scope, "iat": issued, "exp": issued + ttl}
    if customer_id is not None:
        claims["customer_id"] = customer_id
    return jwt.encode(claims, secret, algorithm="HS256")


def _key_set(settings: HttpSettings) -> "KeySet":
    from shared.http.jwks import KeySet

    return KeySet(settings.jwks_url or "", settings.jwks_cache_seconds)


def _principal(claims: Mapping[str, Any]) -> Principal:
    scope, customer_id = claims.get("scope", ""), claims.get("customer_id")
    if not isinstance(scope, str) or not (customer_id is None or (isinstance(customer_id, str) and customer_id)):
        raise ValueError("scope and customer_id are strings")
    return Principal(claims["sub"], frozenset(scope.split()), customer_id)
