"""A real nginx of a test's own: one server in front of one upstream, whose file the product rewrites."""

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from migrations_app.applications.command_spec import CommandSpec
from migrations_app.applications.processes import port_is_open

TEMPLATE = "upstream tiny {\n    server {host}:{port};\n}\n"
CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/upstreams/*.conf;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://tiny; proxy_next_upstream off; }}
    }}
}}
"""


@dataclass
class PrivateNginx:
    """nginx in the foreground of a process that we started."""

    folder: Path
    port: int
    program: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def upstream(self) -> Path:
        return self.folder / "upstreams" / "tiny.conf"

    @property
    def reload(self) -> CommandSpec:
        return CommandSpec("nginx-reload", (*self._argv, "-s", "reload"), self.folder, {}, 10)

    @property
    def _argv(self) -> tuple[str, ...]:
        folder = str(self.folder)
        return (self.program, "-p", folder, "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log")

    def write(self, port: int) -> None:
        self.upstream.parent.mkdir(exist_ok=True)
        self.upstream.write_text(TEMPLATE.replace("{host}", "127.0.0.1").replace("{port}", str(port)))
        (self.folder / "nginx.conf").write_text(CONFIGURATION.format(folder=self.folder, port=self.port))

    def begin(self) -> None:
        self.process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while not port_is_open("127.0.0.1", self.port):
            assert self.process.poll() is None and time.monotonic() < until, "nginx did not start"
            time.sleep(0.05)

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)


def make(folder: Path, port: int) -> PrivateNginx:
    program = shutil.which("nginx") or ("/usr/sbin/nginx" if Path("/usr/sbin/nginx").exists() else "")
    assert program, "nginx is missing (Debian: apt-get install nginx-light)"
    folder.mkdir()
    return PrivateNginx(folder, port, program)
