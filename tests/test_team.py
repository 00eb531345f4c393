"""Several people: an MLflow server on PostgreSQL with artifacts in S3, DVC's remote in S3; all on 127.0.0.1."""

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import mlflow
import pytest
from local_servers import Postgres, Server, free_port
from moto.server import ThreadedMotoServer
from temporary_clone import Clone

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def postgres():
    """The address of an empty database of a real PostgreSQL."""
    with Postgres() as server:
        yield server.database("mlflow")


@pytest.fixture(scope="module")
def s3():
    """Environment variables that lead to an S3 server with two buckets."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    keys = {"AWS_ACCESS_KEY_ID": "team", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    client = boto3.client(
        "s3", endpoint_url=address, aws_access_key_id="team", aws_secret_access_key="secret", region_name="us-east-1"
    )
    for bucket in ("quartet-dvc", "quartet-mlflow"):
        client.create_bucket(Bucket=bucket)
    yield {**keys, "MLFLOW_S3_ENDPOINT_URL": address}
    server.stop()


@pytest.fixture(scope="module")
def tracking(postgres, s3, tmp_path_factory):
    """The address of the team's MLflow server."""
    store = ["--backend-store-uri", postgres, "--artifacts-destination", "s3://quartet-mlflow"]
    # As docs/team.md has it for a server behind a proxy.
    names = ["--allowed-hosts", "mlflow.example.org,127.0.0.1:*"]
    names += ["--cors-allowed-origins", "https://mlflow.example.org"]
    command = [sys.executable, "-m", "mlflow", "server", *store, *names, "--workers", "1"]
    with Server(command, tmp_path_factory.mktemp("server"), {**os.environ, **s3}, "/health") as server:
        yield server.address


@pytest.fixture(scope="module")
def anna(tracking, s3, tmp_path_factory):
    """The checkout of the first member, who has built and pushed one branch of the graph."""
    clone = Clone(tmp_path_factory.mktemp("anna"), MLFLOW_TRACKING_URI=tracking, **s3)
    clone.run("dvc", "remote", "add", "--default", "team", "s3://quartet-dvc/store")
    clone.run("dvc", "remote", "modify", "team", "endpointurl", s3["MLFLOW_S3_ENDPOINT_URL"])
    clone.run("dvc", "repro", "evaluate@cnn")
    clone.commit()
    clone.run("dvc", "push")
    return clone


@pytest.fixture(scope="module")
def ben(anna, tmp_path_factory):
    """A colleague's clone of it, on a machine with nothing else."""
    folder = tmp_path_factory.mktemp("ben") / "quartet"
    anna.git("clone", "-q", str(anna.folder), str(folder))
    return Clone.at(folder, anna.variables)


def test_what_one_pushed_nobody_trains_again(anna, ben):
    ben.run("dvc", "pull", "--with-deps", "evaluate@cnn")
    assert "Running stage" not in ben.run("dvc", "repro", "evaluate@cnn").stdout
    for name in (
        "models/cnn/model.safetensors",
        "reports/cnn/confusion.png",
        "data/processed/images/train.safetensors",
    ):
        assert (ben.folder / name).read_bytes() == (anna.folder / name).read_bytes()


def test_both_see_the_runs_and_who_made_them(anna, ben):
    for clone in (anna, ben):
        rows = [line.split("\t") for line in clone.quartet("runs").stdout.splitlines()[1:]]
        assert [row[0] for row in rows] == ["train-cnn", "evaluate-cnn"]
        assert rows[0][1] == anna.json("reports/cnn/run.json")["run_id"]
        assert urllib.request.urlopen(rows[0][4].partition("#")[0], timeout=30).status == 200


def test_the_server_answers_to_its_name_and_to_no_other(tracking):
    def answer(host, origin):
        headers = {"Host": host, "Origin": origin, "Content-Type": "application/json"}
        url = f"{tracking}/ajax-api/2.0/mlflow/experiments/search"
        try:
            return urllib.request.urlopen(
                urllib.request.Request(url, b'{"max_results": 1}', headers), timeout=30
            ).status
        except urllib.error.HTTPError as error:
            return error.code

    assert answer("mlflow.example.org", "https://mlflow.example.org") == 200
    assert answer("evil.example.org", "https://mlflow.example.org") == 403
    assert answer("mlflow.example.org", "https://evil.example.org") == 403


def test_the_champion_on_the_server_is_what_dvc_has(tracking, anna, ben, tmp_path):
    assert "is champion: the first one" in anna.quartet("promote", "cnn").stdout
    assert "champion already" in ben.quartet("promote", "cnn").stdout
    # The server hands artifacts on: who asks needs no key of S3.
    command = ["mlflow", "artifacts", "download", "-u", "models:/quartet-cnn@champion", "-d", str(tmp_path)]
    ben.run(*command, MLFLOW_TRACKING_URI=tracking, AWS_SECRET_ACCESS_KEY="", AWS_ACCESS_KEY_ID="")
    weights = Path(tmp_path, "artifacts/cnn/model.safetensors")
    assert weights.read_bytes() == (ben.folder / "models/cnn/model.safetensors").read_bytes()


def test_a_colleagues_experiment_lands_on_the_same_server(anna, ben):
    ben.run("dvc", "exp", "run", "-n", "quick", "evaluate@cnn", "-S", "train_cnn.steps=3")
    rows = [line.split("\t") for line in ben.quartet("runs", "quick").stdout.splitlines()[1:]]
    client = mlflow.MlflowClient(anna.variables["MLFLOW_TRACKING_URI"])
    assert {client.get_run(row[1]).data.tags["dvc.exp_name"] for row in rows} == {"quick"}
    assert rows[0][1] != anna.json("reports/cnn/run.json")["run_id"]
