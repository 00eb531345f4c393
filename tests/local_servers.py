"""Servers of their own processes on 127.0.0.1, which end with the block that needs them."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request


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
