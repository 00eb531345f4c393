"""Servers of their own processes on 127.0.0.1, which end with the block that needs them."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Server:
    """A program that takes `--host` and `--port`, waited for until it answers at the path `probe`."""

    def __init__(self, command, folder, environment, probe):
        port = free_port()
        self.address, self._probe = f"http://127.0.0.1:{port}", probe
        self._command = [*command, "--host", "127.0.0.1", "--port", str(port)]
        self._folder, self._environment = folder, environment

    def __enter__(self):
        where = {"cwd": self._folder, "env": self._environment, "start_new_session": True}
        self._process = subprocess.Popen(["timeout", "900", *self._command], **where)
        for _ in range(720):  # MLflow takes a minute to start on a busy machine
            with contextlib.suppress(OSError):
                urllib.request.urlopen(self.address + self._probe, timeout=5).close()
                return self
            assert self._process.poll() is None, "the server ended"
            time.sleep(0.25)
        self.stop()
        raise AssertionError("the server does not answer")

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """End it, if that has not been done."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(30)


class Postgres:
    """A real PostgreSQL, which can be stopped and started again at its address; the test skips where there is none."""

    def __enter__(self):
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        initdb = str(programs[-1] / "initdb") if programs else shutil.which("initdb")
        if not initdb:
            pytest.skip("PostgreSQL is not here: it is Debian's package `postgresql`")
        self._programs = Path(initdb).parent
        self._folder, self.port = Path(tempfile.mkdtemp(prefix="quartet-postgres-")), free_port()
        self._owner = []
        if os.geteuid() == 0:  # PostgreSQL refuses root
            self._owner = ["runuser", "-u", "postgres", "--"]
            os.chown(self._folder, pwd.getpwnam("postgres").pw_uid, -1)
        made = [*self._owner, initdb, "-D", str(self._folder / "data"), "-U", "quartet", "-A", "trust"]
        subprocess.run(made, check=True, capture_output=True, cwd="/")
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self._folder)

    def start(self):
        """Start it, and wait until it answers."""
        started = [*self._owner, "timeout", "-s", "INT", "900", str(self._programs / "postgres")]
        command = [*started, "-D", str(self._folder / "data"), "-h", "127.0.0.1", "-p", str(self.port)]
        with (self._folder / "log").open("a") as log:
            self._server = subprocess.Popen([*command, "-k", str(self._folder)], cwd="/", stdout=log, stderr=log)
        ready = [str(self._programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port)]
        for _ in range(120):
            if subprocess.run(ready, capture_output=True).returncode == 0:
                return
            assert self._server.poll() is None, (self._folder / "log").read_text()
            time.sleep(0.25)

    def stop(self):
        """End it and its sessions, if that has not been done."""
        if self._server.poll() is None:
            # runuser and timeout hand the signal on; PostgreSQL then ends its sessions and itself.
            os.kill(int((self._folder / "data/postmaster.pid").read_text().splitlines()[0]), signal.SIGINT)
            self._server.wait(30)

    def database(self, name, login="quartet"):
        """The address of a new database; any password is taken."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "quartet"]
        subprocess.run([str(self._programs / "createdb"), *where, name], check=True)
        return f"postgresql://{login}@127.0.0.1:{self.port}/{name}"
