"""PostgreSQL far away: a proxy on the loopback that delays, throttles, and can fall silent without closing anything."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import replace

from migrations_app.engine.target.target_url import TargetUrl


class SlowWire:
    """latency: seconds one way; rate: bytes a second each way and connection. `url` leads through it."""

    def __init__(self, url: TargetUrl, *, latency: float = 0.02, rate: int = 1_250_000) -> None:
        self._server = (url.host, url.port)
        self._latency, self._rate = latency, rate
        self._loop = asyncio.new_event_loop()
        self._open: asyncio.Event
        self._ends: list[asyncio.StreamWriter] = []
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(10)
        self.url = replace(url, host="127.0.0.1", port=self._port)

    def __enter__(self) -> SlowWire:
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def fall_silent(self) -> None:
        """Nothing passes any more, in either direction, and nobody is told."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def speak_again(self) -> None:
        self._loop.call_soon_threadsafe(self._open.set)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)

        async def begin() -> None:
            self._open = asyncio.Event()
            self._open.set()
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
            self._port = self._listener.sockets[0].getsockname()[1]
            ready.set()

        self._loop.run_until_complete(begin())
        self._loop.run_forever()
        self._listener.close()
        for end in self._ends:
            end.transport.abort()  # nobody is left waiting for an answer
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        there, back = await asyncio.open_connection(*self._server)
        self._ends += [writer, back]
        await asyncio.gather(self._pass_on(reader, back), self._pass_on(there, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What is read goes out `latency` later, and no faster than `rate`."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        sending = asyncio.ensure_future(self._send(queue, writer))
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                queue.put_nowait((self._loop.time() + self._latency, data))
        queue.put_nowait((self._loop.time() + self._latency, b""))
        await sending

    async def _send(self, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        free = 0.0  # when the wire has room again
        with contextlib.suppress(OSError):
            while (item := await queue.get())[1]:
                due, data = item
                free = max(due, free) + len(data) / self._rate
                await asyncio.sleep(max(0.0, free - self._loop.time()))
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()
