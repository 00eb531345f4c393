"""Atomic writes, checksums, fetching, the model store: nothing half-written, nothing unverified."""

import functools
import gzip
import hashlib
import http.server
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from quartet.artifacts import paths
from quartet.artifacts.checksums import dvc_md5
from quartet.artifacts.errors import clear_errors
from quartet.artifacts.fetching import FetchError, Fetching, fetch, sha256_unpacked
from quartet.artifacts.model_store import load_weights, read_card, save_model
from quartet.artifacts.tensor_files import TYPES, load_tensors, save_arrays, save_tensors
from quartet.artifacts.writing import atomic_entries, atomic_folder, atomic_path, write_json

CONTENT = b"some real bytes" * 1000


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_failed_folder_leaves_the_old_folder_and_nothing_else(tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(RuntimeError), atomic_folder(folder) as temporary:
        (temporary / "half").touch()
        raise RuntimeError
    assert names(folder) == ["old"] and names(tmp_path) == ["f"]


def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path):
    with pytest.raises(OSError), atomic_path(tmp_path / "a") as temporary:
        temporary.write_bytes(b"x")
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")
    assert names(tmp_path) == []


def test_dvc_md5_is_what_dvc_computes(tmp_path):
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "b.txt").write_text("b")
    (folder / "sub/é.txt").write_text("a")
    (tmp_path / "one.txt").write_text("one")
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
    subprocess.run([*dvc, "add", "-q", "data", "one.txt"], cwd=tmp_path, check=True)
    for name in ("data", "one.txt"):
        recorded = yaml.safe_load((tmp_path / f"{name}.dvc").read_text())["outs"][0]["md5"]
        assert dvc_md5(tmp_path / name) == recorded


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; may fail at first, or break off."""

    failures = 0

    def do_GET(self):
        if Handler.failures:
            Handler.failures -= 1
            self.send_error(503)
        elif "truncated" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:100])
        else:
            super().do_GET()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    served = tmp_path / "served"
    served.mkdir()
    (served / "file.bin").write_bytes(CONTENT)
    handler = functools.partial(Handler, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def bring(mirror, target, name="file.bin", **more):
    settings = Fetching(mirror=mirror, retries=2, timeout=5.0)
    return fetch(name, "https://official.invalid/x", target, settings, **more)


def test_a_file_is_fetched_and_verified(server, tmp_path):
    checksum = hashlib.sha256(CONTENT).hexdigest()
    assert bring(server, tmp_path / "got/a", expected=checksum) == checksum
    assert (tmp_path / "got/a").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server, tmp_path):
    Handler.failures = 2
    bring(server, tmp_path / "got/a")
    assert (tmp_path / "got/a").read_bytes() == CONTENT


@pytest.mark.parametrize(("name", "words"), [("none.bin", "404"), ("truncated", "truncated")])
def test_what_cannot_be_had_leaves_nothing(server, tmp_path, name, words):
    with pytest.raises(FetchError, match=words):
        bring(server, tmp_path / "got/a", name)
    assert names(tmp_path / "got") == []


@pytest.mark.parametrize("local", [True, False])
def test_wrong_content_names_both_checksums_and_leaves_nothing(server, tmp_path, local):
    found = hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(FetchError, match=f"file.bin.*expected checksum {'0' * 64}, found {found}"):
        bring(str(tmp_path / "served") if local else server, tmp_path / "got/a", expected="0" * 64)
    assert names(tmp_path / "got") == []


def test_packed_files_are_compared_by_their_content(tmp_path):
    for level in (1, 9):
        (tmp_path / f"{level}.gz").write_bytes(gzip.compress(CONTENT, level))
        assert sha256_unpacked(tmp_path / f"{level}.gz") == hashlib.sha256(CONTENT).hexdigest()
    packed = gzip.compress(CONTENT)
    for damaged in (packed[:-20], packed[:10] + b"\xff" * 20 + packed[30:]):
        (tmp_path / "9.gz").write_bytes(damaged)
        with pytest.raises(FetchError, match="truncated or damaged"):
            bring(str(tmp_path), tmp_path / "got/a", "9.gz", checksum_of=sha256_unpacked)
        assert names(tmp_path / "got") == []


def save(folder, weights):
    save_model(folder, weights, family="cnn", network={"name": "x"}, data={"sha256": "a"}, training={})


def test_models_come_back_and_equal_models_have_equal_bytes(tmp_path):
    weights = {"b": torch.randn(2, 3), "a": torch.arange(4)}
    save(tmp_path / "one", weights)
    save(tmp_path / "two", dict(reversed(weights.items())))
    assert all(torch.equal(load_weights(tmp_path / "one")[name], weights[name]) for name in weights)
    for name in ("model.safetensors", "card.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert b"__metadata__" not in (tmp_path / "one/model.safetensors").read_bytes()


def test_a_card_that_does_not_name_its_data_is_refused(tmp_path):
    save_model(tmp_path / "m", {}, family="cnn", network={"name": "x"}, data={}, training={})
    with pytest.raises(ValueError, match=r"data\.sha256: found nothing, wanted text"):
        read_card(tmp_path / "m")


def test_weights_that_do_not_belong_to_the_card_are_refused(tmp_path):
    save(tmp_path / "m", {"a": torch.ones(2)})
    save_tensors(tmp_path / "m/model.safetensors", {"a": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"expected sha256 .* found"):
        read_card(tmp_path / "m")
    (tmp_path / "m/model.safetensors").write_bytes(b"rubbish")
    with pytest.raises(ValueError, match="broken"):
        load_weights(tmp_path / "m")


def test_arrays_are_saved_as_they_read_whatever_their_strides(tmp_path):
    array = np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1)
    save_arrays(tmp_path / "a.safetensors", {"a": array})
    assert np.array_equal(load_tensors(tmp_path / "a.safetensors")["a"].numpy(), array)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1),
        st.tuples(st.sampled_from(list(TYPES.values())), st.lists(st.integers(0, 3), max_size=3)),
        max_size=6,
    )
)
def test_a_file_of_tensors_has_the_bytes_that_the_library_writes(tmp_path_factory, described):
    path, random = tmp_path_factory.mktemp("tensors") / "a.safetensors", torch.Generator().manual_seed(0)
    tensors = {
        name: torch.randint(0, 2, shape, generator=random).to(getattr(torch, kind))
        for name, (kind, shape) in described.items()
        if name != "__metadata__"
    }
    save_tensors(path, tensors)
    assert path.read_bytes() == safetensors.torch.save(tensors)
    loaded = load_tensors(path)
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_a_folder_in_a_files_place_is_named_and_left_alone(tmp_path):
    (tmp_path / "drawn").mkdir()
    with pytest.raises(IsADirectoryError) as failure, atomic_path(tmp_path / "drawn"):
        pytest.fail("nothing should be made for it")
    assert failure.value.filename == str(tmp_path / "drawn") and not list((tmp_path / "drawn").iterdir())


def test_what_cannot_be_put_in_place_is_named_by_its_own_name(tmp_path):
    (tmp_path / "reports/training.csv").mkdir(parents=True)
    with pytest.raises(OSError, match=r"training\.csv") as failure, atomic_entries(tmp_path / "reports") as written:
        (written / "training.csv").write_text("")
    assert failure.value.filename == str(tmp_path / "reports/training.csv")


def test_json_is_sorted(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": {"d": 1, "c": 2}})
    assert list(json.loads((tmp_path / "a.json").read_text())) == ["a", "b"]


def test_a_path_of_an_unknown_user_is_an_error_that_names_it():
    with pytest.raises(ValueError, match=r"~nosuchuser/pictures: .*home"):
        paths.user_path("~nosuchuser/pictures")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    ],
    ids=["python", "cpu", "cuda"],
)
def test_too_little_memory_is_said_in_a_line(error, capsys):
    with pytest.raises(SystemExit) as ended, clear_errors("train_cnn"):
        raise error
    assert ended.value.code == 1 and "train_cnn: out of memory; lower `batch_size`" in capsys.readouterr().err


def test_a_mistake_in_the_code_keeps_its_traceback():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), clear_errors("train_cnn"):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


@pytest.mark.parametrize(
    "error",
    [
        ImportError("/lib/libtorch_cpu.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
    ],
    ids=["import", "system", "thread"],
)
def test_too_little_memory_while_importing_is_said_in_a_line(error, capsys):
    with pytest.raises(SystemExit) as ended, clear_errors("train_cnn"):
        raise error
    assert ended.value.code == 1 and "train_cnn: out of memory; lower" in capsys.readouterr().err
