"""Mail by SMTP (RFC 5321): each delivery ends in a result that says for certain what became of it, or that it can't."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

import aiosmtplib
import msgspec

TIMEOUT_SECONDS = 20.0
_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}\b")


class Message(msgspec.Struct, frozen=True):
    """A mail. ``id`` makes its Message-ID, the same for every attempt, so that a copy can be told by it."""

    id: str
    to: str
    subject: str
    text: str
    html: str
    date: datetime


class Accepted(msgspec.Struct, frozen=True):
    """The server has taken it over."""


class Refused(msgspec.Struct, frozen=True):
    """Not taken; ``for_good`` where another attempt would be refused as well."""

    reason: str
    for_good: bool


class Unsure(msgspec.Struct, frozen=True):
    """The connection broke after the text went out: taken or not, nobody here can tell."""

    reason: str


Result = Accepted | Refused | Unsure


class ServerAway(Exception):
    """No mail server answers: nothing was sent."""


class MailServer:
    """Where mail goes, and as whom."""

    def __init__(
        self, host: str, port: int, sender: str, user: str | None = None, password: str | None = None
    ) -> None:
        self._host = host
        self._port = port
        self._sender = sender
        self._user = user
        self._password = password

    @asynccontextmanager
    async def session(self) -> AsyncIterator["Session"]:
        """A connection for several messages. Raises ServerAway."""
        smtp = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            username=self._user,
            password=self._password,
            use_tls=self._port == 465,
            timeout=TIMEOUT_SECONDS,
        )
        try:
            await smtp.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            smtp.close()
            raise ServerAway(f"{type(error).__name__}: {error}") from error
        session = Session(smtp, self._sender)
        try:
            yield session
            if not session.broken:
                with suppress(aiosmtplib.SMTPException, OSError):
                    await smtp.quit()
        finally:
            smtp.close()


class Session:
    """One connection. Once it is ``broken``, the messages that are left need another one."""

    def __init__(self, smtp: aiosmtplib.SMTP, sender: str) -> None:
        self._smtp = smtp
        self._sender = sender
        self.broken = False

    async def deliver(self, message: Message) -> Result:
        """Hands one message over, step by step, because only the last step can leave a doubt."""
        if not message.to.isascii():
            return Refused("the address is not ASCII, the server may not take it", for_good=True)
        content = _written(message, self._sender)
        try:
            await self._smtp.mail(self._sender)
            await self._smtp.rcpt(message.to)
        except aiosmtplib.SMTPSenderRefused as error:
            # It is the house that isn't let in (an account, a policy): no fault of the message, which keeps.
            refused = await self._refused(error)
            return Refused(refused.reason, for_good=False)
        except aiosmtplib.SMTPResponseException as error:
            return await self._refused(error)
        except (aiosmtplib.SMTPException, OSError) as error:
            self.broken = True
            return Refused(type(error).__name__, for_good=False)
        try:
            await self._smtp.data(content)
        except aiosmtplib.SMTPResponseException as error:
            return await self._refused(error)
        except (aiosmtplib.SMTPException, OSError) as error:
            self.broken = True
            return Unsure(type(error).__name__)
        return Accepted()

    async def _refused(self, error: aiosmtplib.SMTPResponseException) -> Refused:
        try:
            await self._smtp.rset()
        except (aiosmtplib.SMTPException, OSError):
            self.broken = True
        # Only the codes (RFC 3463): servers repeat the address in their words, and the reason is published.
        enhanced = _ENHANCED.match(error.message)
        return Refused(f"{error.code} {enhanced[0] if enhanced else ''}".strip(), for_good=error.code >= 500)


def _written(message: Message, sender: str) -> bytes:
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = message.to
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(message.date)
    mail["Message-ID"] = f"<{message.id}@{sender.rpartition('@')[2].rstrip('>') or 'localhost'}>"
    mail.set_content(message.text, cte="base64")
    mail.add_alternative(message.html, subtype="html", cte="base64")
    return mail.as_bytes()
