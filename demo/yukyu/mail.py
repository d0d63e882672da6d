"""Mail to employees. Delivery is a line in the outbox file, which the office's mail relay picks up."""

import json
from datetime import datetime

from settings import Settings


def send_mail(settings: Settings, *, to: str, subject: str, now: datetime) -> bool:
    """Append a message to the outbox, if mail is enabled; tells whether it did."""
    if not settings.mail_enabled:
        return False
    line = json.dumps({"at": now.isoformat(timespec="seconds"), "to": to, "subject": subject}, ensure_ascii=False)
    with settings.mail_outbox.open("a", encoding="utf-8") as outbox:
        outbox.write(line + "\n")
    return True
