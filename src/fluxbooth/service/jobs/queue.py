"""The job engine's seam: what the service asks of it. Nothing else imports dbos, but the engine
process itself (`worker.py`).

Every job is enqueued in the transaction that makes its row, so neither exists without the other.
Job names are `tune-7`, `prompt-9`, `callback-ID-1`, `tune-7-fetch` for what must come from
elsewhere before, and `prompt-9-alone` for what cannot be drawn beside a training: the same job
asked for twice is one job.
"""

from __future__ import annotations

import json
import secrets
import urllib.parse
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth.service.contract import responses
from fluxbooth.service.db.database import ACCEPTED
from fluxbooth.service.db.tables import Account, Callback, Order, Prompt, Tune, now
from fluxbooth.service.files.store import Store
from fluxbooth.service.jobs import priority
from fluxbooth.service.prompts import expansion, input_images
from fluxbooth.service.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

# of the workflows: raise it only when jobs in flight could not go on under the new code
VERSION = "1"
# queues. On each device one training at a time, or what needs a device alone; beside it one prompt
# whose pictures are drawn, for which the training stands aside; and both of these once more for
# what is of the branch `fast`
DEVICE, PICTURES, FAST, FAST_PICTURES = "device", "pictures", "fast", "fast-pictures"
# what needs no base, and so no device, parted by whether it takes seconds or minutes
APART, LONG = "apart", "long"
# callbacks, and pictures from elsewhere: parted, so that a host which hangs keeps nobody else
# waiting, callbacks by account and host, pictures by account
DELIVERY, FETCH = "delivery", "fetch"
# of a prompt's fields: why it cannot be drawn beside a training
ALONE = "alone"
AT_ONCE = 500  # jobs that are asked for in one statement


class JobEngine:
    """Enqueues. Safe to share between threads.

    There is no cancel: whoever deletes, cancels or fails a row says so in the row, and the engine
    watches the row of the work under way. So a cancel is as durable as the transaction that it was
    part of.
    """

    def __init__(self, settings: Settings, sign: Callable[[str], str]) -> None:
        from dbos import DBOSClient, DBOSPortableJSONSerializer

        self.settings, self.sign, self.store = settings, sign, Store(settings.data)
        self.client = DBOSClient(
            system_database_url=settings.rows_url,
            serializer=DBOSPortableJSONSerializer(),
            system_database_pool_size=2,  # all but `forget` goes through the caller's transaction
        )

    def train(self, session: Session, tune: Tune) -> None:
        """On the device, once all photos are here."""
        if any(photo.key is None for photo in tune.photos):
            self._enqueue(
                session,
                FETCH,
                "fetch_photos",
                fetching(tune.job),
                tune.id,
                queue_partition_key=str(tune.account_id),
            )
        else:
            self._enqueue(
                session,
                FAST if priority.is_fast(tune) else DEVICE,
                "train",
                tune.job,
                tune.id,
                priority=priority.priority(session, tune),
            )

    def prompt(self, session: Session, prompt: Prompt) -> None:
        """On the device, once the pictures that it starts from are here, and its longer text."""
        if input_images.missing(prompt) or expansion.missing(prompt):
            self._enqueue(
                session,
                FETCH,
                "fetch_inputs",
                fetching(prompt.job),
                prompt.id,
                queue_partition_key=str(prompt.account_id),
            )
        else:
            self._enqueue(
                session,
                self._queue_of(prompt),
                "draw",
                prompt.job,
                prompt.id,
                priority=priority.priority(session, prompt),
            )

    def _queue_of(self, prompt: Prompt) -> str:
        if not priority.needs_base(prompt):
            return LONG if priority.takes_long(prompt, self.store) else APART
        return FAST_PICTURES if priority.is_fast(prompt) else PICTURES

    def alone(self, session: Session, prompt: Prompt) -> None:
        """On a device that does nothing else meanwhile: pictures go before trainings there."""
        self._enqueue(
            session,
            FAST if priority.is_fast(prompt) else DEVICE,
            "draw",
            alone(prompt.job),
            prompt.id,
            priority=priority.priority(session, prompt),
        )

    def callback(
        self, session: Session, *, tune: Tune | None = None, prompt: Prompt | None = None
    ) -> None:
        """Says that a tune or a prompt is finished, as it stands in this transaction, to the
        address it was given, if any."""
        row = tune or prompt
        assert row is not None
        if row.callback:
            shown = (
                responses.tune(row, self.settings, self.sign)
                if isinstance(row, Tune)
                else responses.prompt(row, self.settings, self.sign)
            )
            body = {"tune" if tune else "prompt": shown}
            self._post(
                session,
                row.account_id,
                row.callback,
                body,
                tune_id=tune.id if tune else None,
                prompt_id=prompt.id if prompt else None,
            )
        if prompt and prompt.order_id:
            self.settle(session, row.account_id)

    def settle(self, session: Session, account_id: int) -> None:
        """Calls back for each of the account's orders that waits for no prompt any more: all its
        prompts, as a bare list.

        It comes after their own callbacks: an order waits until each of these has been tried once.
        """
        # two that end at the same time must not both see the other one open
        session.get(Account, account_id, with_for_update=True)
        is_open = select(Prompt.id).where(Prompt.order_id == Order.id, Prompt.is_open)
        untold = (
            select(Callback.id)
            .join(Prompt, Prompt.id == Callback.prompt_id)
            .where(
                Prompt.order_id == Order.id,
                Callback.attempts == 0,
                Callback.delivered_at.is_(None),
                Callback.failed_at.is_(None),
            )
        )
        due = select(Order).where(
            Order.account_id == account_id,
            Order.callback.is_not(None),
            Order.called_at.is_(None),
            ~is_open.exists(),
            ~untold.exists(),
        )
        for order in session.scalars(due).all():
            order.called_at = now()
            made = session.scalars(
                select(Prompt)
                .where(Prompt.order_id == order.id, Prompt.deleted_at.is_(None))
                .order_by(Prompt.id)
            )
            self._post(
                session,
                account_id,
                order.callback or "",
                [responses.prompt(prompt, self.settings, self.sign) for prompt in made],
            )

    def _post(
        self, session: Session, account_id: int, url: str, body: Any, **about: int | None
    ) -> None:
        callback = Callback(
            id=f"msg_{secrets.token_hex(12)}",
            account_id=account_id,
            url=url,
            body=json.dumps(body),
            **about,
        )
        session.add(callback)
        session.flush()
        self.deliver(session, callback, 1, 0.0)

    def deliver(self, session: Session, callback: Callback, attempt: int, delay: float) -> None:
        extra = {"delay_seconds": delay} if delay else {}
        key = f"{callback.account_id} {urllib.parse.urlsplit(callback.url).hostname}"
        name = f"callback-{callback.id}-{attempt}"
        self._enqueue(
            session,
            DELIVERY,
            "deliver",
            name,
            callback.id,
            attempt,
            queue_partition_key=key,
            **extra,
        )

    def forget(self, names: list[str]) -> None:
        """Removes what the engine keeps of jobs that are over; those that are not end by
        themselves, for nobody wants them."""
        names = [*names, *map(fetching, names), *map(alone, names)]
        over = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
        for first in range(0, len(names), AT_ONCE):
            some = names[first : first + AT_ONCE]
            found = self.client.list_workflows(
                workflow_ids=some, status=over, load_input=False, load_output=False
            )
            self.client.delete_workflows([row.workflow_id for row in found])

    def close(self) -> None:
        self.client.destroy()

    def _enqueue(
        self,
        session: Session,
        queue: str,
        workflow: str,
        name: str,
        *arguments: Any,
        **options: Any,
    ) -> None:
        session.info.setdefault(ACCEPTED, []).append(name)
        asked: Any = {
            "queue_name": queue,
            "workflow_name": workflow,
            "workflow_id": name,
            "app_version": VERSION,
            **options,
        }
        self.client.enqueue_in_transaction(session, asked, *arguments)


def alone(job: str) -> str:
    """The job that draws what another could not draw beside a training."""
    return f"{job}-alone"


def fetching(job: str) -> str:
    """The job that fetches what another needs."""
    return f"{job}-fetch"
