"""Work done by several: threads of ours, and helper processes that take their share of it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Cancelled, Refused
from migrations_app.engine.side_process import Channel, SideProcess

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_threads(workers: Sequence[Callable[[Control], None]], control: Control) -> None:
    """Run each in a thread of its own with a Control of their own; the first error stops the others and is raised.

    The caller's `stop` reaches them within 0.2 s; an error of theirs never sets the caller's.
    """
    errors: list[BaseException] = []
    inner = Control(report=control.report)

    def guarded(worker: Callable[[Control], None]) -> None:
        try:
            worker(inner)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(worker,), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)
            if (errors or control.stop.is_set()) and not inner.stop.is_set():
                inner.stop_reason = control.stop_reason
                inner.stop.set()
    if errors:
        raise next((error for error in errors if not isinstance(error, Cancelled)), errors[0])


@dataclass(frozen=True)
class Helper:
    """`task` is a function and its arguments, for SideProcess. `accept` judges what it sends first, before any job."""

    task: tuple[Any, ...]
    accept: Callable[[Any], bool]


class Crew(Generic[Job, Result]):
    """Jobs handed out one by one, to us (`do`) and to helpers that call lend_hand(); `done` is told of each result.

    `wanted` may turn down a job whose turn has come. `done` is called from several threads.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        do: Callable[[Job, Control], Iterable[Result]],
        done: Callable[[Job, Result], None],
        wanted: Callable[[Job], bool] = lambda job: True,
    ) -> None:
        self._queue, self._lock = deque(jobs), threading.Lock()
        self._do, self._done, self._wanted = do, done, wanted
        self._open = 0  # jobs handed out whose end nobody has told of

    def run(self, control: Control, helpers: Sequence[Helper] = ()) -> None:
        """Raises what `do` raises here or there; Failed HELPER_DIED; Cancelled."""
        if helpers:
            run_threads([self._here, *map(self._beside, helpers)], control)
        else:
            self._here(control)
        if self._queue or self._open:
            raise AssertionError("a share of the work was not done")  # never: it would be missing without a word

    def _here(self, control: Control) -> None:
        while (job := self._take()) is not None:
            for result in self._do(job, control):
                self._done(job, result)
            self._over()

    def _beside(self, helper: Helper) -> Callable[[Control], None]:
        def work(control: Control) -> None:
            with SideProcess(*helper.task, control=control) as process:
                try:
                    accepted = helper.accept(process.receive())
                except Refused:
                    return  # the target has no session left for it, say: we do the work by ourselves
                while accepted and (job := self._take()) is not None:
                    process.send(job)
                    while (result := process.receive()) is not _END:
                        self._done(job, result)
                    self._over()

        return work

    def _take(self) -> Job | None:
        with self._lock:
            while self._queue:
                job = self._queue.popleft()
                if self._wanted(job):
                    self._open += 1
                    return job
            return None

    def _over(self) -> None:
        with self._lock:
            self._open -= 1


class _End:
    """Sent after the last result of a job. One object in every process."""

    def __reduce__(self) -> str:
        return "_END"


_END = _End()


def lend_hand(channel: Channel, greeting: object, do: Callable[[Any], Iterable[object]]) -> None:
    """A helper's life: tells what it has before it, then does the jobs that it is given."""
    channel.send(greeting)
    for job in channel:
        for result in do(job):
            channel.send(result)
        channel.send(_END)
