"""What beat and the doorbell wake: a round over the outbox."""

from celery import shared_task

from controlplane.mail.outbox import SEND
from controlplane.mail.pruning import prune
from controlplane.mail.sending import send_due


@shared_task(name="controlplane.mail.prune", ignore_result=True)  # type: ignore[untyped-decorator]
def prune_mails() -> None:
    """Mails that are over and older than 400 days go; the trail and the certificates have what they told about."""
    prune()


@shared_task(name=SEND, ignore_result=True)  # type: ignore[untyped-decorator]
def send_mails(row_id: int = 0) -> None:
    """The id only says why the bell was rung; whatever is due is sent."""
    send_due()
