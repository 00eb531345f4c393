"""The UI says when it cannot be served where it was asked for."""

import socket

import pytest

from quartet.commands.ui import _refuse_taken


def test_a_taken_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=rf"cannot listen on 127\.0\.0\.1:{port} .*choose another --port"):
            _refuse_taken("127.0.0.1", port)
    _refuse_taken("127.0.0.1", port)
