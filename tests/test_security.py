"""No pickle is read or written, and secrets in addresses reach no message, parameter, tag or file."""

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from real_text import REFERENCE

from quartet.artifacts.secrets import without_secrets
from quartet.params.reading import BadSettings
from quartet.settings import settings_of
from quartet.tracking import store
from quartet.tracking.journals import unsent
from quartet.tracking.runs import tracked_run
from quartet.tracking.sending import send_all

TOP = Path(__file__).parents[1]
SOURCES = [path for room in ("quartet", "stages", "benchmarks") for path in sorted((TOP / room).rglob("*.py"))]
MODULES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CALLS = {"torch.save", "torch.load", "np.load", "numpy.load", "pd.read_pickle", "pandas.read_pickle"}
# Published weights, which have no other form: read once, checksum first, and with `weights_only`.
PUBLISHED = {"quartet/images/sources/trained_weights.py", "benchmarks/photos.py"}


def test_no_code_reads_or_writes_pickle():
    found = []
    for path in SOURCES:
        place = path.relative_to(TOP).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
                found += [(place, name) for name in names if name.split(".")[0] in MODULES]
            elif isinstance(node, ast.Call):
                name, words = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
                excused = place in PUBLISHED and name == "torch.load" and words.get("weights_only") == "True"
                if (
                    (name in CALLS and not excused)
                    or name.endswith(".to_pickle")
                    or words.get("allow_pickle") == "True"
                ):
                    found.append((place, name))
    assert found == []


WITHOUT_PICKLE = """
import _pickle, pickle, runpy, sys

def forbidden(*arguments, **more):
    raise AssertionError("pickle is read")

class Forbidden(pickle._Unpickler):  # libraries derive classes from it
    __init__ = load = forbidden

pickle._Unpickler.load = pickle._load = pickle._loads = forbidden
for module in (pickle, _pickle):
    module.load, module.loads, module.Unpickler = forbidden, forbidden, Forbidden
for words in sys.argv[1].split(","):
    sys.argv = words.split()
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code:
            raise
"""
PARAMS = """
download: {text: "file:own.txt"}
preprocess: {text: {tokenizer: character}}
train_cnn: {steps: 4, validate_every: 2, width: 8}
train_lm: {steps: 4, validate_every: 2, width: 16, layers: 1, heads: 2, context: 16, ngrams: 64}
"""
RUN = [f"stages.{stage} {item}" for item in ("images", "text") for stage in ("download", "preprocess")]
RUN += ["stages.download weights", "stages.train_cnn", "stages.train_lm", "stages.evaluate cnn"]
RUN += ["quartet generate the --tokens 5"]


def test_data_and_models_are_read_where_pickle_is_forbidden(tmp_path):
    (tmp_path / "own.txt").write_text(REFERENCE[:20_000])
    (tmp_path / "params.yaml").write_text(PARAMS)
    environment = {**os.environ, "PYTHONPATH": str(TOP), "DVC_ROOT": str(tmp_path), "QUARTET_TRACKING": "off"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PICKLE, ",".join(RUN)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 30
    for path in written:
        assert path.suffix not in (".pkl", ".pickle", ".pt", ".pth", ".joblib")
        with path.open("rb") as file:
            start = file.read(2)
        assert not (start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5"), path
        if zipfile.is_zipfile(path):
            assert not any(name.endswith(".pkl") for name in zipfile.ZipFile(path).namelist())


ADDRESSES = [
    "postgresql://someone:s3cret-word@db.example/mlflow",
    "postgresql://someone:s3cret-word@@db.example/mlflow",
    "postgresql+psycopg://someone:x/s3cret-word@db.example:5432/mlflow?sslmode=require",
    "http://s3cret-word@mlflow.example/path",
    "https://mlflow.example/path?user=a&password=s3cret-word&x=1",
    "https://bucket.example/file?X-Amz-Signature=s3cret-word&X-Amz-Date=2024",
    "DefaultEndpoints;AccountKey=a;SharedAccessKey=s3cret-word;x",
    "s3://key:s3cret-word@bucket/path",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_shown_without_its_secrets(address):
    shown = without_secrets(f"MLflow at {address} does not answer ('{address}')")
    assert "s3cret-word" not in shown and "does not answer" in shown and shown.startswith("MLflow at ")
    assert ("example" in shown) == ("example" in address)


def test_what_has_no_secret_is_shown_as_it_is():
    for text in (
        "steps: found 5, allowed is 1",
        "a@b.example: no",
        "https://a.example/x?version=3",
        "//",
        "s3://bucket/key",
    ):
        assert without_secrets(text) == text


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_TOKEN"])
def test_secrets_of_the_environment_are_hidden_wherever_they_stand(monkeypatch, name):
    monkeypatch.setenv(name, "s3cret-word")
    assert without_secrets("denied: key 's3cret-word'") == "denied: key '***'"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:p%40ss%20word@mlflow.example")
    assert without_secrets("user someone, p@ss word and p%40ss%20word") == "user someone, *** and ***"


def test_a_dead_server_is_said_without_its_login(tmp_path):
    (tmp_path / "params.yaml").write_text(PARAMS)
    address = "http://someone:s3cret-word@127.0.0.1:9"
    environment = {**os.environ, "PYTHONPATH": str(TOP), "DVC_ROOT": str(tmp_path), "MLFLOW_TRACKING_URI": address}
    environment |= {"QUARTET_TRACKING": "on", "QUARTET_TRACEBACK": "1"}
    command = [sys.executable, "-m", "quartet", "runs"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "127.0.0.1:9" in said and "s3cret-word" not in said and "someone" not in said


def test_parameters_of_a_run_and_its_journal_have_no_secrets(home, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("QUARTET_TRACKING", "later")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "s3cret-word")
    with tracked_run("some-stage", {"start": {"from": ADDRESSES[0]}, "steps": 5}, []) as run:
        run.log_dataset(ADDRESSES[4], home / "data", {})
    (journal,) = unsent()
    assert b"s3cret-word" not in (journal.folder / "journal.jsonl").read_bytes()
    run_id = send_all(journal)
    client, _ = store.open_store()
    assert client.get_run(run_id).data.params == {"start.from": "postgresql://db.example/mlflow", "steps": "5"}


def test_a_mirror_with_a_login_is_refused_before_it_is_in_the_lock():
    with pytest.raises(BadSettings, match=r"download\.mirror: found an address with a login") as refused:
        settings_of({"download": {"mirror": "https://someone:s3cret-word@mirror.example"}})
    assert "s3cret-word" not in str(refused.value)
