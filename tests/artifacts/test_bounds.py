"""Bounds of downloads and of archives: what drags on or unpacks without end is refused, and leaves nothing."""

import contextlib
import gzip
import socket
import struct
import tarfile
import threading
import time
import tracemalloc
import zipfile

import pytest

from quartet.artifacts import fetching, transfers
from quartet.artifacts.errors import BadInput
from quartet.artifacts.fetching import FetchError, Fetching, fetch
from quartet.datasets.reading.text_files import text_chunks
from quartet.images.sources import download_images

OK = b"HTTP/1.1 200 OK\r\n"


@contextlib.contextmanager
def a_server(*pieces, pause=0.0):
    """A server of 127.0.0.1 that answers every request with the pieces, pausing after each."""

    def answer(connection):
        with contextlib.suppress(OSError), connection:
            connection.recv(65536)
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def bring(mirror, folder, **settings):
    return fetch(
        "file.bin", "", folder / "file.bin", Fetching(mirror=mirror, **{"retries": 0, "timeout": 0.5, **settings})
    )


def left(folder):
    return [path.name for path in folder.iterdir()]


def test_a_byte_per_second_ends(tmp_path):
    began = time.monotonic()
    slow, words = a_server(OK + b"\r\n", *[b"x"] * 100, pause=0.2), r"too slow: \d+ bytes in \d+ s; at least 1,024 per"
    with slow as mirror, pytest.raises(FetchError, match=words):
        bring(mirror, tmp_path)
    assert time.monotonic() - began < 5 and left(tmp_path) == []


def test_a_header_that_never_ends_ends(tmp_path):
    began = time.monotonic()
    with a_server(OK, *[b"X: y\r\n"] * 100, pause=0.2) as mirror, pytest.raises(FetchError, match="too slow: 0 bytes"):
        bring(mirror, tmp_path)
    assert time.monotonic() - began < 5 and left(tmp_path) == []


def test_all_attempts_together_have_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "TOTAL_SECONDS", 1.0)
    monkeypatch.setattr(transfers, "TOTAL_SECONDS", 1.0)
    began = time.monotonic()
    endless = a_server(OK + b"\r\n", *[bytes(4096)] * 1000, pause=0.01)
    with endless as mirror, pytest.raises(FetchError, match="it takes more than 1 s"):
        bring(mirror, tmp_path, retries=20)
    assert time.monotonic() - began < 5 and left(tmp_path) == []


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"Content-Length: many", "its Content-Length is 'many', which is no size"),
        (b"Content-Length: -5", "its Content-Length is '-5', which is no size"),
        (b"Content-Length: 99999999999999999", r"No space left on device: it takes 9\d+\.\d GiB, and .* are free"),
        (b"Content-Length: 1000", r"(IncompleteRead|broken|retrieved)"),
    ],
    ids=["no number", "below zero", "larger than the disk", "too long"],
)
def test_a_wrong_content_length_is_said(tmp_path, header, words):
    with a_server(OK + header + b"\r\n\r\nshort") as mirror, pytest.raises(FetchError, match=words) as refused:
        bring(mirror, tmp_path)
    assert mirror in str(refused.value) and left(tmp_path) == []


def test_a_login_in_the_mirror_is_in_no_message(tmp_path, capsys):
    with a_server(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n") as mirror:
        secret = mirror.replace("//", "//someone:open%20sesame@") + "/data?token=abc123"
        with pytest.raises(FetchError) as refused:
            bring(secret, tmp_path)
    said = str(refused.value) + capsys.readouterr().out
    assert "127.0.0.1" in said and "503" in said
    assert not any(part in said for part in ("someone", "sesame", "abc123"))


def zeros(size):
    """So many zeros, packed a thousandfold."""
    return gzip.compress(bytes(2**20)) * (size // 2**20)


@pytest.mark.parametrize("source", ["mnist", "fashion-mnist", "cifar10", "gtsrb"])
def test_an_archive_that_unpacks_without_end_is_refused_in_little_memory(tmp_path, source):
    folder = tmp_path / "mirror" / source
    folder.mkdir(parents=True)
    if source == "gtsrb":
        with zipfile.ZipFile(folder / "gtsrb.zip", "w") as archive:
            archive.writestr("gtsrb/0.ppm", b"P6")
        content = bytearray((folder / "gtsrb.zip").read_bytes())
        place = content.index(b"PK\1\2") + 24  # the unpacked size that the directory declares
        content[place : place + 4] = struct.pack("<I", 2**32 - 2)
        (folder / "gtsrb.zip").write_bytes(content)
    elif source == "cifar10":
        entry = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
        entry.size = 2**34
        (folder / "cifar-10-binary.tar.gz").write_bytes(gzip.compress(entry.tobuf()) + zeros(2**22))
    else:
        header = b"" if source == "mnist" else struct.pack(">4I", 0x803, 2**20, 2**10, 2**10)
        content = gzip.compress(header) + zeros(2**28 + 2**21)
        (folder / "train-images-idx3-ubyte.gz").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(FetchError, match=r"unpacks to more than|is damaged|Bad CRC"):
        download_images(source, Fetching(mirror=str(tmp_path / "mirror")), tmp_path / "raw")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**26


def test_a_text_that_unpacks_without_end_is_refused(tmp_path):
    text = gzip.compress(b"a" * 2**20) * 100
    (tmp_path / "own.txt.gz").write_bytes(text)
    with pytest.raises(BadInput, match=r"own\.txt\.gz: unpacks to more than 200 times its size"):
        for _ in text_chunks(tmp_path / "own.txt.gz"):
            pass
