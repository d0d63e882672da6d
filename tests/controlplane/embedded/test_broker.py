"""The private broker: keeps its queue over kill -9, and no stranger passes for it."""

import os
import signal
import socket
from pathlib import Path

import psutil
import pytest
import redis

from controlplane.embedded import EmbeddedBroker, EmbeddedError
from tests.controlplane.embedded.waiting import wait_until


def test_it_keeps_messages_port_and_password_over_kill_nine(servers_dir: Path) -> None:
    server = EmbeddedBroker(servers_dir).start()
    url = server.url
    with redis.Redis.from_url(url) as client:
        client.rpush("common", *(f"message {n}" for n in range(100)))
    os.kill(server.pid, signal.SIGKILL)
    assert wait_until(lambda: not server.running)
    with pytest.raises(EmbeddedError, match=r"broker\.died"):
        server.check()
    server.stop()
    with server:
        assert server.url == url
        with redis.Redis.from_url(url) as client:
            assert client.llen("common") == 100


def test_its_password_is_asked_for_and_stands_in_no_process_list(broker: EmbeddedBroker) -> None:
    password = (broker.home / "password").read_text()
    assert not any(password in " ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"]))
    with redis.Redis(port=broker.port) as client, pytest.raises(redis.exceptions.AuthenticationError):
        client.ping()


def test_it_listens_on_the_loopback_interface_only(broker: EmbeddedBroker) -> None:
    listening = [c.laddr for c in psutil.Process(broker.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert [(address.ip, address.port) for address in listening] == [("127.0.0.1", broker.port)]


def test_a_port_of_another_program_is_refused(servers_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(EmbeddedError) as caught:
        EmbeddedBroker(servers_dir, port=other.getsockname()[1]).start()
    assert caught.value.code == "broker.port"


def test_another_broker_on_the_port_does_not_pass_for_ours(
    servers_dir: Path, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the other had taken the port between our look and our start; it even knows the password.
    (servers_dir / "password").write_text((broker.home / "password").read_text())
    (servers_dir / "port").write_text(str(broker.port))
    monkeypatch.setattr("controlplane.embedded.server.is_free", lambda port: True)
    with pytest.raises(EmbeddedError) as caught:
        EmbeddedBroker(servers_dir).start()
    assert caught.value.code in {"broker.foreign", "broker.start"}
    assert broker.running
