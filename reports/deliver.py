"""Brings a report to where it is read: a folder, an address that takes JSON, a mailbox. Each by itself.

One way that fails does not keep the others from being tried; what became of each is in the register.
"""

from __future__ import annotations

import json
import shutil
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from mimetypes import guess_type
from pathlib import Path
from typing import Any, Final

import structlog

from config.redaction import masked_text
from config.settings import Mail, ReportSettings, Webhook
from reports.make import MadeReport
from reports.markdown_form import markdown_form

log = structlog.get_logger(__name__)

TIMEOUT_S: Final = 30.0


def deliver(made: MadeReport, settings: ReportSettings) -> dict[str, str]:
    """Way → "" when it arrived, else why not. Ways that are not configured are not there."""
    ways: dict[str, Callable[[], None]] = {}
    if settings.copy_to is not None:
        folder = settings.copy_to
        ways["copy_to"] = lambda: copy(made, folder)
    if settings.webhook is not None:
        webhook = settings.webhook
        ways["webhook"] = lambda: post(made, webhook)
    if settings.mail is not None:
        mail = settings.mail
        ways["mail"] = lambda: send(made, mail)
    return {way: _tried(way, act) for way, act in ways.items()}


def _tried(way: str, act: Callable[[], None]) -> str:
    try:
        act()
        return ""
    except (OSError, smtplib.SMTPException, ValueError) as error:
        problem = masked_text(f"{type(error).__name__}: {error}")[:500]
        log.warning("report_not_delivered", way=way, error=problem)
        return problem


def copy(made: MadeReport, folder: Path) -> None:
    """Copy every file. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in made.files.values():
        part = folder / f".{path.name}.part"
        shutil.copyfile(path, part)
        part.replace(folder / path.name)


def post(made: MadeReport, webhook: Webhook) -> None:
    """Post verdict, reasons, changes and the whole document. Raises OSError, also for an answer that is no success."""
    document = made.document
    body = {
        "schema": "crossfade.report-notice/1",
        "migration": document["migration"],
        "number": made.entry.number,
        "outcome": made.entry.outcome,
        "text": _subject(made),
        "reasons": document["verdict"]["reasons"][:20],
        "changes": document["changes"]["items"][:20],
        "link": made.entry.link,
        "report": document,
    }
    headers = {"Content-Type": "application/json"}
    if webhook.token is not None:
        headers["Authorization"] = f"Bearer {webhook.token.get_secret_value()}"
    raw = json.dumps(body, ensure_ascii=False, default=str).encode()
    request = urllib.request.Request(webhook.url.get_secret_value(), raw, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):
            return
    except urllib.error.HTTPError as error:
        # Its own text may quote the address.
        raise OSError(f"the address answered {error.code}") from None


def send(made: MadeReport, mail: Mail) -> None:
    """Send the text as Markdown with the files attached. Raises OSError, SMTPException."""
    message = EmailMessage()
    message["Subject"] = _subject(made)
    message["From"] = mail.sender
    message["To"] = ", ".join(mail.to)
    message.set_content(markdown_form(made.document))
    for path in made.files.values():
        kind = (guess_type(path.name)[0] or "application/octet-stream").split("/")
        message.add_attachment(path.read_bytes(), maintype=kind[0], subtype=kind[1], filename=path.name)
    context = ssl.create_default_context()
    if mail.tls == "tls":
        client: smtplib.SMTP = smtplib.SMTP_SSL(mail.host, mail.port, timeout=TIMEOUT_S, context=context)
    else:
        client = smtplib.SMTP(mail.host, mail.port, timeout=TIMEOUT_S)
    with client:
        if mail.tls == "starttls":
            client.starttls(context=context)
        if mail.user:
            client.login(mail.user, mail.password.get_secret_value())
        client.send_message(message)


def remove(files: Mapping[str, str] | None) -> None:
    """Remove the files of a report whose time is over; one that is gone already is none."""
    for path in (files or {}).values():
        Path(path).unlink(missing_ok=True)


def _subject(made: MadeReport) -> str:
    document: Mapping[str, Any] = made.document
    return f"{document['migration']}: {made.entry.outcome.upper()} (report {made.entry.number})"
