"""The routes of imports."""

import hmac
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Query, Response
from fastapi.responses import StreamingResponse
from starlette.requests import Request

from services.profile import examples
from services.profile.accesses.application import showed
from services.profile.fields import Id, IdInPath, Instant, outgoing_trace
from services.profile.imports.application import Imports
from services.profile.imports.domain import MAX_BYTES, FaultyFile, Format, Import, NotRevertible
from services.profile.imports.reading import CHARSETS, line_of
from services.profile.imports.receiving import Upload
from services.profile.imports.shapes import (
    FAULT,
    IMPORT,
    LEFTOVER,
    ImportView,
    LeftoverView,
    RowFaultView,
    fault_view,
    import_view,
)
from shared.clock import Clock
from shared.db import Database, Tx
from shared.http.auth import Principal, staff_only
from shared.http.gates import BodyLimit, Gate
from shared.http.idempotency import Attempt, IdempotencyKey, idempotency_key
from shared.http.pagination import Page, PageRequest
from shared.http.problems import ProblemError, conflict, documented, invalid, not_found
from shared.http.routing import Router

Reader = Annotated[Principal, staff_only("profile:read")]
Writer = Annotated[Principal, staff_only("profile:write")]
_MEDIA: dict[Format, str] = {"csv": "text/csv", "ndjson": "application/x-ndjson"}
_FORMATS: dict[str, Format] = {
    "text/csv": "csv", "application/csv": "csv", "application/x-ndjson": "ndjson", "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
}  # fmt: skip
_PAGE = 500
_CSV = "customer_id,name,email,tags\npos:1001,Example Customer,customer@example.com,tea; vip\n"
_NDJSON = '{"customer_id": "pos:1001", "name": "Example Customer", "tags": ["tea"]}\n'
_BODY = {
    "required": True,
    "content": {
        "text/csv": {"schema": {"type": "string"}, "example": _CSV},
        "application/x-ndjson": {"schema": {"type": "string"}, "example": _NDJSON},
    },
}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The rows that failed, as a file of the same format",
        "content": {
            "text/csv": {"schema": {"type": "string"}, "example": _CSV},
            "application/x-ndjson": {"schema": {"type": "string"}, "example": _NDJSON},
        },
    }
}


class StreamedKey(IdempotencyKey):
    """The key of a request whose body is too long to be read ahead: the endpoint signs it once it is through."""

    async def __call__(self, request: Request) -> Attempt:
        """The attempt, not yet signed."""
        return await Gate.__call__(self, request)


def imports_router(imports: Imports, db: Database, clock: Clock) -> Router:
    """``GET|POST /imports``, ``GET /imports/{id}`` and what hangs on it, ``POST /imports/{id}/revert``."""
    router = Router(tags=["imports"])

    @router.post(
        "/imports",
        status_code=202,
        responses={**examples.answer(IMPORT, 202), **{status: documented(status) for status in (413, 415, 422)}},
        openapi_extra={"requestBody": _BODY},
        dependencies=[Depends(BodyLimit(MAX_BYTES))],
    )
    async def receive(
        who: Writer,
        attempt: Annotated[Attempt, Depends(StreamedKey(required=False))],
        request: Request,
        response: Response,
        dry_run: Annotated[bool, Query(description="Check everything, show what would happen, write nothing")] = False,
        as_of: Annotated[Instant | None, Query(description="Since when rows without `as_of` are true")] = None,
        name: Annotated[Id | None, Query(description="How people call the file")] = None,
    ) -> ImportView:
        """Takes in a file of customers, CSV or NDJSON, of up to 256 MiB; a job works through it.

        A CSV file has a header of the columns in profile's README; UTF-8, or GB18030 if `charset` says so. A row is a
        customer by `customer_id` or an identifier: who isn't known is made, of who is the fields are written that the
        row names. It is history: nobody is welcomed, or written to, because his file was imported; `POST /customers`
        is for who is new. An unknown column refuses the file before a row of it is looked at.
        """
        format_, charset = _media(request.headers.get("content-type", ""))
        upload = await imports.begin(
            format_, charset, name=name, dry_run=dry_run, as_of=as_of, by=who.subject, trace=outgoing_trace()
        )
        try:
            async for piece in request.stream():
                await upload.take(piece)
            await upload.end()
            async with db.transaction() as tx:
                signed = _signed(attempt, request, upload)
                replay = await signed.claim(tx)
                if replay is None:
                    job = await upload.accept(tx)
                    await signed.remember(tx, status=202, resource_id=job.import_id)
                    return await _view(tx, job)
            await upload.drop()
        except FaultyFile as error:
            await upload.drop()
            raise invalid(error.pointer, error.detail, code=error.code) from error
        except BaseException:
            await upload.drop()
            raise
        replay.mark(response)
        async with db.transaction() as tx:
            return await _view(tx, await _found(tx, replay.resource_id))

    @router.get("/imports", responses=examples.answer({"items": [IMPORT], "next_cursor": None}))
    async def list_imports(_: Reader, paging: PageRequest) -> Page[ImportView]:
        """Imports, the newest first."""
        after = paging.after(tuple[datetime, str])
        async with db.transaction() as tx:
            found = await imports.page(tx, after, paging.limit + 1)
        cursor = paging.next_cursor(found, lambda job: (job.created_at, job.import_id))
        return Page(items=[import_view(job, clock.now()) for job in found[: paging.limit]], next_cursor=cursor)

    @router.get("/imports/{id}", responses=examples.answer(IMPORT))
    async def read_import(_: Reader, id: IdInPath) -> ImportView:
        """How far it has come; of a dry run what it would do."""
        async with db.transaction() as tx:
            return await _view(tx, await _found(tx, id))

    @router.get("/imports/{id}/errors", responses=examples.answer({"items": [FAULT], "next_cursor": None}))
    async def read_errors(_: Reader, id: IdInPath, paging: PageRequest) -> Page[RowFaultView]:
        """What is wrong with rows, in their order."""
        async with db.transaction() as tx:
            job = await _found(tx, id)
            found = await imports.faults(tx, job, paging.after(tuple[int, int]), paging.limit + 1)
        cursor = paging.next_cursor(found, lambda one: (one[0].row, one[0].position))
        return Page(items=[fault_view(fault) for fault, _ in found[: paging.limit]], next_cursor=cursor)

    @router.get("/imports/{id}/failed-rows", responses=_FILE, response_class=StreamingResponse, response_model=None)
    async def read_failed_rows(_: Reader, id: IdInPath) -> StreamingResponse:
        """The rows that failed, as a file to be mended and sent again; kept for 30 days."""
        async with db.transaction() as tx:
            job = await _found(tx, id)
        name = f'attachment; filename="{job.import_id}.{job.format}"'
        media = f"{_MEDIA[job.format]}; charset=utf-8"
        return StreamingResponse(_failed(job), media_type=media, headers={"Content-Disposition": name})

    @router.get("/imports/{id}/leftovers", responses=examples.answer({"items": [LEFTOVER], "next_cursor": None}))
    async def read_leftovers(_: Reader, id: IdInPath, paging: PageRequest) -> Page[LeftoverView]:
        """What a revert had to leave, and why."""
        async with db.transaction() as tx:
            job = await _found(tx, id)
            found = await imports.leftovers(tx, job, paging.after(tuple[str, str, str]), paging.limit + 1)
        cursor = paging.next_cursor(found, lambda one: (one.customer_id, one.code, one.detail))
        items = [LeftoverView(**msgspec.structs.asdict(one)) for one in found[: paging.limit]]
        return Page(items=items, next_cursor=cursor)

    @router.post("/imports/{id}/revert", status_code=202, responses=examples.answer(IMPORT, 202))
    async def revert(
        who: Writer, attempt: Annotated[Attempt, idempotency_key()], id: IdInPath, response: Response
    ) -> ImportView:
        """Stops it and takes it back: whom it made and nobody has touched since is gone, of the others each value that
        it wrote falls back to what stood before. What others wrote stays. A merge by rule is undone where the verified
        address that it was made by goes along."""
        async with db.transaction() as tx:
            replay = await attempt.claim(tx)
            if replay is not None:
                replay.mark(response)
                return await _view(tx, await _found(tx, replay.resource_id))
            try:
                job = await imports.revert(tx, id, who.subject)
            except NotRevertible as error:
                raise conflict(error.code, "A dry run has written nothing.") from error
            if job is None:
                raise not_found()
            await attempt.remember(tx, status=202, resource_id=id)
            return await _view(tx, job)

    async def _found(tx: Tx, id: str) -> Import:
        job = await imports.find(tx, id)
        if job is None:
            raise not_found()
        return job

    async def _view(tx: Tx, job: Import) -> ImportView:
        differences = await imports.differences(tx, job) if job.dry_run else []
        showed(one.customer_id for one in differences)
        return import_view(job, clock.now(), await imports.same(tx, job), differences)

    async def _failed(job: Import) -> AsyncIterator[str]:
        if job.format == "csv":
            yield line_of(job.columns) + "\n"
        after: tuple[int, int] | None = None
        while True:
            async with db.transaction() as tx:
                found = await imports.faults(tx, job, after, _PAGE)
            showed(fault.customer_id for fault, _ in found if fault.customer_id)
            for _, record in found:
                if record is not None:
                    yield record + "\n"
            if len(found) < _PAGE:
                return
            after = (found[-1][0].row, found[-1][0].position)

    return router


def _media(content_type: str) -> tuple[Format, str]:
    media, _, parameters = content_type.partition(";")
    format_ = _FORMATS.get(media.strip().lower())
    if format_ is None:
        raise ProblemError(415, "unsupported-media-type", "Send text/csv or application/x-ndjson.")
    named = [one.partition("=")[2] for one in parameters.split(";") if one.strip().lower().startswith("charset=")]
    charset = CHARSETS.get(named[0].strip().strip('"').lower()) if named else "utf-8"
    if charset is None or (format_ == "ndjson" and charset != "utf-8"):
        detail = "Send UTF-8; a CSV file may be GB18030, if the Content-Type says charset=gb18030."
        raise ProblemError(415, "unsupported-charset", detail)
    return format_, charset


def _signed(attempt: Attempt, request: Request, upload: Upload) -> Attempt:
    if attempt.key is None:
        return attempt
    asked = [
        sorted(request.query_params.multi_items()),
        request.headers.get("content-type", ""),
        upload.content.hexdigest(),
    ]
    digest = hmac.digest(request.app.state.http.hmac_key, msgspec.json.encode(asked), "sha256")
    return Attempt(attempt.route, attempt.key, digest)
