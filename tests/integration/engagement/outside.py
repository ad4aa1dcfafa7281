"""What engagement talks to: a mail server and profile's reachability, as real servers on free ports."""

import asyncio
import email
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage, Message
from email.policy import default
from typing import Any

import uvicorn
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from fastapi import FastAPI, Request, Response


@dataclass(slots=True)
class Mailbox:
    """What the server took. ``refuse``: its answer to RCPT, ``refuse_sender``: to MAIL.

    ``hold``: no answer to DATA until it is set.
    """

    port: int = 0
    taken: list[Message] = field(default_factory=list)
    refuse: str | None = None
    refuse_sender: str | None = None
    arrived: threading.Event = field(default_factory=threading.Event)
    hold: threading.Event | None = None
    stop: Callable[[], object] = print

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.refuse_sender:
            return self.refuse_sender
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.taken.append(email.message_from_bytes(envelope.content, policy=default))
        self.arrived.set()
        if self.hold is not None:
            await asyncio.to_thread(self.hold.wait, 30)
        return "250 taken"

    def text(self, n: int = 0) -> str:
        """The plain text of a message."""
        message = self.taken[n]
        assert isinstance(message, EmailMessage)
        part = message.get_body(("plain",))
        assert part is not None
        return str(part.get_content())


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    """A real SMTP server in a thread of its own."""
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=_free_port())
    controller.start()
    mailbox.port = controller.port
    mailbox.stop = controller.stop
    try:
        yield mailbox
    finally:
        if mailbox.hold is not None:
            mailbox.hold.set()
        with suppress(AssertionError):  # stopped already
            controller.stop()


@dataclass(slots=True)
class Profile:
    """Who can be reached: customer -> address, and who consents. ``silent``: it takes the question and says nothing."""

    url: str = ""
    addresses: dict[str, str] = field(default_factory=dict)
    refusing: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)
    locale: str | None = "en"
    silent: asyncio.Event | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    async def answer(self, request: Request) -> Response | dict[str, Any]:
        body = await request.json()
        self.asked.append(body)
        self.tokens.append(request.headers.get("authorization", ""))
        if self.silent is not None:
            await self.silent.wait()
        return {"items": [self._item(item["customer_id"], item["channel"]) for item in body["items"]]}

    def _item(self, customer: str, channel: str) -> dict[str, Any]:
        return {
            "customer_id": customer, "channel": channel, "address": self.addresses.get(customer),
            "consent": customer not in self.refusing, "locale": self.locale, "time_zone": None,
            "name": self.names.get(customer),
        }  # fmt: skip


@asynccontextmanager
async def profile_server() -> AsyncIterator[Profile]:
    """A real HTTP server that answers profile's reachability."""
    profile = Profile()
    app = FastAPI()
    app.add_api_route("/profile/internal/reachability", profile.answer, methods=["POST"], response_model=None)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        profile.url = f"http://127.0.0.1:{listener.getsockname()[1]}/profile"
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield profile
        finally:
            if profile.silent is not None:
                profile.silent.set()
            server.should_exit = True
            await serving


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
