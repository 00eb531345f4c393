"""The model registry: versions of rebuilt models, linked to DVC, and the champion among them.

Each checksum of `models/<family>` has one version. Rebuilds are registered when they are evaluated, experiments only by
`promote`. Version n has the git tag `<family>@vn.0.0`, which `dvc artifacts get` finds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quartet.artifacts import paths
from quartet.artifacts.checksums import dvc_md5
from quartet.artifacts.errors import BadInput
from quartet.artifacts.model_store import read_card
from quartet.artifacts.writing import read_json
from quartet.tracking import dvc_state, store
from quartet.tracking.journals import training_run_id

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from quartet.families import Family
    from quartet.tracking.served import Served

CHAMPION = "champion"


@dataclass(frozen=True)
class Promotion:
    """A message about what `promote` did, and whether the version is now the champion."""

    message: str
    champion: bool


def registered_name(family: str) -> str:
    """The name of the family's model in the registry."""
    return f"quartet-{family}"


@dataclass(frozen=True)
class Candidate:
    """A trained and scored model for the registry.

    Attributes:
        family: its key.
        checksum: DVC's, of `models/<family>`.
        data: the checksum of the data, of its card.
        scores: on the test split.
        commit: tags with the commit of the checkout.
    """

    family: str
    checksum: str
    data: str
    scores: Mapping[str, float]
    commit: Mapping[str, str]


def candidate(family: str) -> Candidate:
    """The model in `models/<family>` with its current scores."""
    model, scores = paths.model(family), read_json(paths.report(family) / "metrics.json")
    data = read_card(model)["data"]["sha256"]
    return Candidate(family, dvc_md5(model), data, scores, dvc_state.commit_tags())


def is_rebuild() -> bool:
    """Whether this process is part of a `dvc repro`: not of an experiment, and not run by hand."""
    return dvc_state.parent_key() is not None and not dvc_state.experiment()


def register_rebuild(client: "MlflowClient", model: Candidate, run_id: str | None) -> None:
    """Register a model that a run has trained, unless it is registered.

    Raises:
        ValueError: MLflow does not have the run or its model.
    """
    with store.lock("registry"):
        _register(client, model, run_id)


def promote(family: "Family") -> Promotion:
    """Register the committed model if necessary; if its test score is better, make it champion and tag its commit.

    Raises:
        ValueError: git reads nothing here; the model or its scores are not those in `dvc.lock` at HEAD; MLflow does
            not have the run that trained it, or it was deleted; the champion was tested on other data; or the
            version's git tag exists for another model.
    """
    key, model = family.key, paths.model(family.key)
    checksum, card = dvc_md5(model), read_card(model)
    if dvc_state.locked_checksum(model) != checksum:
        raise ValueError(
            f"{model} is not the model in dvc.lock at HEAD: commit dvc.lock first (after `dvc exp apply NAME`, if it "
            "comes from an experiment), or restore the committed model with `dvc checkout`"
        )
    _check_scores(key)
    client, _ = store.open_store()
    with store.lock("registry"):
        version = _register(client, candidate(key), training_run_id(key))
        headline = family.headline(card["data"].get("task"))
        score = headline.score
        mine = _score(version, score)
        champion = _champion(client, key)
        named = f"{registered_name(key)} version {version.version}"
        if champion and str(champion.version) != str(version.version):
            other = f"version {champion.version}"
            if champion.tags.get("data.sha256") != card["data"]["sha256"]:
                raise ValueError(
                    f"{named} and the champion, {other}, were tested on different data: their scores cannot be "
                    f"compared. Remove the alias `{CHAMPION}` in MLflow to start over"
                )
            theirs = _score(champion, score)
            compared = f"test {score} {mine:g} against {theirs:g} of {other}"
            if not (mine > theirs if headline.higher_is_better else mine < theirs):
                return Promotion(f"{other} stays champion: {named} is not better ({compared})", champion=False)
        elif champion:
            compared = f"it was champion already, test {score} {mine:g}"
        else:
            compared = f"the first one, test {score} {mine:g}"
        tag = f"{key}@v{version.version}.0.0"
        if "git.tag" not in version.tags:
            dvc_state.tag_commit(tag, f"{named}: {compared}")
            if dvc_state.locked_checksum(model, tag) != checksum:
                raise ValueError(
                    f"the git tag {tag} already exists for another {model} (from an earlier registry?): "
                    f"delete it with `git tag --delete {tag}`, or rename it"
                )
            for key, value in {**dvc_state.commit_tags(), "git.tag": tag}.items():
                client.set_model_version_tag(version.name, version.version, key, value)
        client.set_registered_model_alias(version.name, CHAMPION, version.version)
    return Promotion(f"{named} is champion: {compared}; git tag {tag}", champion=True)


def load_registered(uri: str, family: str) -> "Served":
    """The model of this family at a URI of MLflow, such as `models:/quartet-cnn@champion`.

    Raises:
        BadInput: there is no such model, or it is of another family.
        ValueError: MLflow's database is unusable.
    """
    store.open_store()
    import mlflow

    try:
        served = mlflow.pyfunc.load_model(uri).unwrap_python_model().model
    except mlflow.exceptions.MlflowException as error:
        raise BadInput(f"{uri} cannot be loaded from {store.shown_address()}: {store.first_line(error)}") from error
    if served.card["family"] != family:
        raise BadInput(f"{uri} is a model of the family {served.card['family']}, not {family}")
    return served


def version_of(uri: str) -> str:
    """The version that a URI such as `models:/quartet-cnn@champion` or `models:/quartet-cnn/3` means.

    Raises:
        BadInput: there is no such version.
        ValueError: MLflow's database is unusable.
    """
    client, _ = store.open_store()
    import mlflow

    name, _, alias = uri.removeprefix("models:/").partition("@")
    try:
        if alias:
            return str(client.get_model_version_by_alias(name, alias).version)
        name, _, number = name.partition("/")
        return str(client.get_model_version(name, number).version)
    except mlflow.exceptions.MlflowException as error:
        raise BadInput(f"{uri} is not in {store.shown_address()}: {store.first_line(error)}") from error


def download_registered(uri: str) -> tuple[Path, str]:
    """The model folder of a version in the registry, on this machine, and the version's number.

    Raises:
        BadInput: there is no such version, or it is not one of ours.
        ValueError: MLflow's database is unusable.
    """
    version = version_of(uri)
    import mlflow

    name = uri.removeprefix("models:/").partition("@")[0].partition("/")[0]
    try:
        found = Path(mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{name}/{version}"))
    except mlflow.exceptions.MlflowException as error:
        raise BadInput(f"{uri} cannot be loaded from {store.shown_address()}: {store.first_line(error)}") from error
    cards = sorted(found.rglob("card.json"))
    if not cards:
        raise BadInput(f"{uri}: holds no card.json, and so is no model of this pipeline")
    return cards[0].parent, version


def _check_scores(family: str) -> None:
    """Raise ValueError unless the scores in the workspace are committed and were measured on the committed models."""
    metrics, evaluation = paths.report(family) / "metrics.json", f"evaluate@{family}"
    read = dvc_state.locked_dependencies(evaluation).items()
    scored = {Path(name): checksum for name, checksum in read if paths.MODELS in Path(name).parents}
    of_these = scored and all(dvc_state.locked_checksum(model) == checksum for model, checksum in scored.items())
    if not (of_these and metrics.exists() and dvc_state.locked_checksum(metrics) == dvc_md5(metrics)):
        raise ValueError(
            f"{metrics} does not hold the scores of the committed model: "
            f"run `dvc repro {evaluation}` and commit dvc.lock"
        )


def _register(client: "MlflowClient", candidate: Candidate, run_id: str | None) -> "ModelVersion":
    """The version of a model, with its current scores; created if there is none."""
    import mlflow

    family, model = candidate.family, paths.model(candidate.family)
    name = registered_name(family)
    tested = {f"test.{score}": str(value) for score, value in candidate.scores.items()}
    found = client.search_model_versions(f"name = '{name}' and tags.`dvc.md5` = '{candidate.checksum}'")
    if found:
        version = min(found, key=lambda version: int(version.version))
        for key, value in tested.items():  # the scores may have changed, for example with another judge
            if version.tags.get(key) != value:
                client.set_model_version_tag(name, version.version, key, value)
        return client.get_model_version(name, version.version)
    if not run_id:
        raise ValueError(f"{model} was trained without tracking; retrain it with `dvc repro --force train-{family}`")
    training = store.get_or_none(client.get_run, run_id)
    if training is None:
        raise ValueError(f"the MLflow at {store.shown_address()} does not have the run {run_id}, which trained {model}")
    if store.is_deleted(training.info):
        raise ValueError(
            f"the run {run_id}, which trained {model}, was deleted in MLflow; restore it with "
            f"`{store.restoring('runs', '--run-id', run_id)}`"
        )
    logged = client.search_logged_models(
        [training.info.experiment_id], f"source_run_id = '{run_id}' and name = '{family}'"
    )
    if not logged:
        raise ValueError(f"the run {run_id}, which trained {model}, has logged no model")
    try:
        client.create_registered_model(name)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {
        "dvc.md5": candidate.checksum,
        "dvc.path": model.as_posix(),
        "data.sha256": candidate.data,
        **candidate.commit,
        **tested,
    }
    uri = f"models:/{logged[0].model_id}"
    return client.create_model_version(name, uri, run_id=run_id, tags=tags, model_id=logged[0].model_id)


def _champion(client: "MlflowClient", family: str) -> "ModelVersion | None":
    return store.get_or_none(client.get_model_version_by_alias, registered_name(family), CHAMPION)


def _score(version: "ModelVersion", name: str) -> float:
    return float(version.tags[f"test.{name}"])
