"""Series that go on: how they are read and cut by time, forecast, scored and answered."""

import numpy as np
import pandas as pd
import pytest
import torch
from own_pictures import MIRROR
from typer.testing import CliRunner

from quartet.artifacts.errors import BadInput
from quartet.artifacts.fetching import Fetching
from quartet.artifacts.model_store import save_model
from quartet.artifacts.tensor_files import load_tensors
from quartet.artifacts.writing import write_json
from quartet.sequences.forecasting.baselines import LinearForecast, seasonal_naive
from quartet.sequences.forecasting.evaluation import Errors, report_forecast
from quartet.sequences.forecasting.windows import load_windows
from quartet.sequences.inspection import inspect_sequences
from quartet.sequences.networks.forecaster import QUANTILES, Forecaster, band_spread, pinball
from quartet.sequences.preparation import prepare_sequences
from quartet.sequences.preparation.histories import season_of, window_of
from quartet.sequences.questions import history_questions
from quartet.sequences.serving import SequenceModel
from quartet.sequences.settings import Columns, PreprocessSequences, SeriesAugmentation, TrainRnn
from quartet.sequences.sources import download_sequences
from quartet.sequences.training.plan import plan
from quartet.training.checkpoints import NoCheckpoint
from quartet.training.loop import train

CPU = torch.device("cpu")
needs_data = pytest.mark.skipif(not (MIRROR / "forecasting").exists(), reason="needs ../shared/data/forecasting")


def prepare(folder, path, **settings):
    write_json(folder / "raw/manifest.json", download_sequences(f"csv:{path}", Fetching(), folder / "raw"))
    return prepare_sequences(folder / "raw", folder / "processed", PreprocessSequences(**settings))


def table(steps=240, season=12, seed=0):
    """A season on a trend, and a second feature that is known in advance."""
    random = np.random.default_rng(seed)
    time = np.arange(steps)
    known = random.integers(0, 2, steps)
    values = 100 + 0.5 * time + 20 * np.sin(2 * np.pi * time / season) + 5 * known + random.normal(0, 1, steps)
    times = pd.date_range("2020-01-01", periods=steps, freq="D").strftime("%Y-%m-%d")
    return pd.DataFrame({"day": times, "sales": values, "holiday": known})


def trained(folder, info, **changes):
    chosen = TrainRnn(
        **{
            "network": "linear",
            "steps": 200,
            "validate_every": 100,
            "batch_size": 32,
            "learning_rate": 0.003,
            **changes,
        }
    )
    made = plan(chosen, seed=0, folder=folder / "processed", info=info, device=CPU)
    outcome = train(made.task, chosen, seed=0, device=CPU, checkpoint=NoCheckpoint(), quiet=True)
    made.task.network.load_state_dict(outcome.weights)
    return made, made.task.network.eval(), outcome


@needs_data
@pytest.mark.parametrize(("name", "rows", "features", "season"), [("airline", 144, 1, 12), ("ETTh1", 17420, 7, 24)])
def test_public_tables_are_read_as_they_are(tmp_path, name, rows, features, season):
    info = prepare(tmp_path, MIRROR / f"forecasting/{name}.csv")
    assert (info["task"], info["features"], info["season"]) == ("forecast", features, season)
    assert info["task_reason"] == "there is neither a label nor a number to predict"
    test = load_tensors(tmp_path / "processed/test.safetensors")
    raw = pd.read_csv(MIRROR / f"forecasting/{name}.csv").iloc[:, 1:].to_numpy()
    np.testing.assert_allclose(
        test["values"].numpy() + np.float32(info["mean"]), raw[-len(test["values"]) :], rtol=1e-4, atol=1e-3
    )
    assert len(raw) == rows and int(test["lengths"] - test["context"]) == info["horizon"]


@needs_data
def test_the_literatures_windows_of_etth1(tmp_path):
    steps = {"train_steps": 8640, "validation_steps": 2880, "test_steps": 2880, "horizon": 96}
    info = prepare(tmp_path, MIRROR / "forecasting/ETTh1.csv", **steps)
    raw = pd.read_csv(MIRROR / "forecasting/ETTh1.csv").iloc[:, 1:].to_numpy()
    np.testing.assert_allclose(info["mean"], raw[:8640].mean(axis=0))
    np.testing.assert_allclose(info["std"], raw[:8640].std(axis=0), rtol=1e-7)
    windows = load_windows(tmp_path / "processed", "test", info)
    assert len(windows) == 2880 - 96 + 1
    _, _, first = windows.at(torch.tensor([0]))
    scaled = (raw[11520:11616] - info["mean"]) / info["std"]
    np.testing.assert_allclose(first[0].numpy(), scaled, rtol=1e-3, atol=1e-3)
    assert "3,020 are not used" in info["splits"]["origin"]


def test_nothing_of_the_future_reaches_training(tmp_path):
    data = table()
    data.to_csv(tmp_path / "a.csv", index=False)
    changed = data.copy()
    changed.loc[200:, "sales"] = 1e6
    changed.to_csv(tmp_path / "b.csv", index=False)
    cut = {"train_steps": 160, "validation_steps": 40, "test_steps": 40, "horizon": 12, "window": 24}
    infos = [prepare(tmp_path / name, tmp_path / f"{name}.csv", **cut) for name in "ab"]
    assert infos[0]["mean"] == infos[1]["mean"] and infos[0]["season"] == infos[1]["season"] == 12
    for split in ("train", "validation"):
        assert len({(tmp_path / name / f"processed/{split}.safetensors").read_bytes() for name in "ab"}) == 1


def test_own_splits_and_several_series(tmp_path):
    parts = []
    for number, steps in enumerate((150, 120)):
        part = table(steps, seed=number).assign(series=f"shop {number}")
        part["split"] = ["train"] * (steps - 40) + ["valid"] * 20 + ["test"] * 20
        parts.append(part)
    data = pd.concat(parts).sample(frac=1, random_state=0)
    data.to_csv(tmp_path / "a.csv", index=False)
    info = prepare(tmp_path, tmp_path / "a.csv", horizon=7, window=21, columns=Columns(known="holiday"))
    assert info["known"] == ["holiday"] and info["feature_names"] == ["sales", "holiday"]
    test = load_windows(tmp_path / "processed", "test", info)
    assert torch.bincount(test.series).tolist() == [14, 14] and "as the source says" in info["splits"]["origin"]
    past, ahead, actual = test.at(torch.tensor([14]))  # the first of the second shop
    assert past.shape == (1, 21, 2) and ahead.shape == (1, 7, 1) and actual.shape == (1, 7, 1)
    own = actual[0, :, 0].numpy() * info["std"][0] + info["mean"][0]
    np.testing.assert_allclose(own, parts[1]["sales"].iloc[100:107], rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (lambda data: data.rename(columns={"sales": "lable"}), {}, "column lable looks like a label"),
        (lambda data: data.assign(shop="north"), {}, "column shop has no numbers ('north')"),
        (lambda data: data.drop(columns="day"), {}, "no column is a time"),
        (lambda data: data.assign(sent=data["day"]), {}, "several columns are a time"),
        (lambda data: data.drop(columns=["sales", "holiday"]), {}, "has no column to forecast"),
        (lambda data: pd.concat([data, data[3:4]]), {}, "row 242: day '2020-01-04' appears twice"),
        (lambda data: data, {"splits": "own"}, "`splits: own` takes a table"),
        (lambda data: data, {"splits": "random"}, "would train on the future"),
        (lambda data: data, {"test_steps": 240}, "its 240 steps are fewer than"),
        (lambda data: data, {"season": 210}, "season of 210 steps is longer than a training stretch"),
        (lambda data: data, {"standardise": "series"}, "set preprocess.sequences.standardise to data"),
        (lambda data: data.assign(sales=1.0, holiday=2.0), {}, "there is no error to beat"),
        (lambda data: data, {"horizon": 100}, "are too short for a window"),
        (lambda data: data.assign(split=["test"] + ["train"] * 239), {}, "its splits change back"),
        (lambda data: data, {"columns": Columns(known="hollyday")}, "has no column hollyday"),
        (
            lambda data: data,
            {"columns": Columns(series="shop")},
            "has no column shop, which preprocess.sequences.colum",
        ),
        (lambda data: data.assign(Split="train"), {}, "column 'Split' is not read, since it is not named 'split'"),
        (
            lambda data: data.assign(split=["train"] * 200 + ["test"] * 40),
            {"test_steps": 40, "train_steps": 9},
            "say which steps are test: set preprocess.sequences.train_steps, .test_steps to null",
        ),
        (lambda data: data.assign(sales=data["sales"].where(data.index != 5)), {}, "sales is empty at step 6"),
    ],
)
def test_what_cannot_be_forecast_is_refused(tmp_path, change, settings, message):
    change(table()).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(BadInput) as error:
        prepare(tmp_path, tmp_path / "a.csv", **settings)
    assert message in str(error.value)


def test_rows_of_the_future_are_no_history(tmp_path, capsys):
    data = table()
    future = table(260)[["day", "holiday"]].iloc[240:]
    data.to_csv(tmp_path / "a.csv", index=False)
    pd.concat([data, future]).to_csv(tmp_path / "b.csv", index=False)
    settings = {"columns": Columns(known="holiday"), "horizon": 12, "missing": "previous"}
    plain = prepare(tmp_path / "plain", tmp_path / "a.csv", **settings)
    longer = prepare(tmp_path / "longer", tmp_path / "b.csv", **settings)
    assert "20 rows at the ends have only what is known in advance, and are not used" in capsys.readouterr().out
    for split in ("test", "validation", "train"):
        kept = {(tmp_path / f"{name}/processed/{split}.safetensors").read_bytes() for name in ("plain", "longer")}
        assert len(kept) == 1
    assert plain["mean"] == longer["mean"]
    assert len(history_questions(tmp_path / "a.csv", plain, PreprocessSequences(**settings)).questions) == 1
    with pytest.raises(BadInput, match=r"series 1 ends in 20 rows of the future; the model looks 12 steps ahead"):
        history_questions(tmp_path / "b.csv", plain, PreprocessSequences(**settings))


def test_series_without_a_window_are_named(tmp_path, capsys):
    parts = [table(steps, seed=number).assign(series=f"shop {number}") for number, steps in enumerate((200, 200, 60))]
    pd.concat(parts).drop(columns="holiday").to_csv(tmp_path / "a.csv", index=False)
    info = prepare(tmp_path, tmp_path / "a.csv", window=60, horizon=10)
    assert any("leaves out 1 of 3 series" in line and "shop 2" in line for line in info["splits"]["warnings"])
    assert "shop 2" in capsys.readouterr().out


def test_an_inspection_says_what_the_build_does(tmp_path):
    data = table()
    data.loc[5, "sales"] = np.nan
    data.to_csv(tmp_path / "a.csv", index=False)
    source = f"csv:{tmp_path / 'a.csv'}"
    with pytest.raises(BadInput, match="sales is empty at step 6"):
        inspect_sequences(source, PreprocessSequences())
    found = inspect_sequences(source, PreprocessSequences(missing="previous"))
    info = prepare(tmp_path, tmp_path / "a.csv", missing="previous")
    assert found.facts["season"] == f"{info['season']} steps" and found.facts["looks back"] == f"{info['window']} steps"
    with pytest.raises(BadInput, match="are too short for a window"):
        inspect_sequences(source, PreprocessSequences(missing="previous", horizon=100))


def test_prophets_tables_are_read_as_they_are(tmp_path):
    data = table().drop(columns="holiday").rename(columns={"day": "ds", "sales": "y"})
    data.to_csv(tmp_path / "a.csv", index=False)
    info = prepare(tmp_path, tmp_path / "a.csv")
    assert info["task"] == "forecast" and info["feature_names"] == ["y"] and info["season"] == 12


def test_settings_of_a_forecast_are_refused_for_labelled_series(tmp_path):
    rows = [
        {"series": f"s{n}", "step": step, "label": "ab"[n % 2], "x": n + step} for n in range(20) for step in range(4)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "a.csv", index=False)
    for settings in ({"horizon": 5}, {"columns": Columns(known="x")}):
        with pytest.raises(BadInput, match=r"is for classes; only a forecast takes preprocess\.sequences\."):
            prepare(tmp_path, tmp_path / "a.csv", **settings)


def test_settings_of_a_training_that_would_change_nothing_are_refused(tmp_path):
    table().to_csv(tmp_path / "a.csv", index=False)
    info = prepare(tmp_path, tmp_path / "a.csv")
    for changes, message in (
        ({"series_augmentation": SeriesAugmentation(jitter=0.1)}, "set all of it to 0"),
        ({"class_weights": "balanced"}, "has no classes"),
    ):
        with pytest.raises(BadInput, match=message):
            trained(tmp_path, info, **changes)


def test_settings_of_another_network_are_named(tmp_path, capsys):
    table().to_csv(tmp_path / "a.csv", index=False)
    info = prepare(tmp_path, tmp_path / "a.csv")
    for changes, said in (
        ({"network": "linear", "hidden_size": 64, "pooling": "max"}, "train_rnn.hidden_size, train_rnn.pooling: not"),
        ({"network": "recurrent", "hidden_size": 8, "bidirectional": False}, "train_rnn.bidirectional: not used"),
        ({"network": "linear", "label_smoothing": 0.1}, "train_rnn.label_smoothing: not used by this task"),
        ({"network": "linear"}, ""),
    ):
        capsys.readouterr()
        plan(TrainRnn(**changes), seed=0, folder=tmp_path / "processed", info=info, device=CPU)
        found = capsys.readouterr().out
        assert said in found and bool(said) == bool(found)


def test_numbers_are_read_as_a_country_writes_them(tmp_path):
    data = table()
    thousands = (1000 + data["sales"]).map("{:,.3f}".format)
    data["sales"] = thousands.str.translate(str.maketrans(",.", ".,"))  # 1.123,456
    data.to_csv(tmp_path / "a.csv", index=False, sep=";")
    info = prepare(tmp_path, tmp_path / "a.csv", decimal="comma", thousands="point", horizon=6)
    assert info["mean"][0] == pytest.approx(1000 + table()["sales"][: 240 - 6 - 24].mean(), rel=1e-3)


def test_a_season_may_be_longer_than_the_window(tmp_path):
    data = table(season=30)
    data["sales"] = np.tile(np.arange(30.0), 8)
    data.drop(columns="holiday").to_csv(tmp_path / "a.csv", index=False)
    how = {"season": 30, "window": 10, "horizon": 40, "test_steps": 60, "validation_steps": 40}
    with pytest.raises(BadInput, match="there is no error to beat"):
        prepare(tmp_path, tmp_path / "a.csv", **how)
    data.loc[3, "sales"] += 1
    data.drop(columns="holiday").to_csv(tmp_path / "a.csv", index=False)
    windows = load_windows(tmp_path / "processed", "test", prepare(tmp_path, tmp_path / "a.csv", **how))
    chosen = torch.arange(len(windows))
    torch.testing.assert_close(seasonal_naive(windows, chosen, 30), windows.at(chosen)[2])


def test_gaps_in_time_are_named(tmp_path):
    table().drop(index=range(50, 55)).to_csv(tmp_path / "a.csv", index=False)
    assert prepare(tmp_path, tmp_path / "a.csv")["splits"]["warnings"] == [
        "steps are missing or unequal in time, in series 1 (1); a forecast takes them as equal"
    ]


def test_seasons_are_found_and_noise_has_none():
    random = np.random.default_rng(0)
    time = np.arange(400)
    for season in (4, 7, 24):
        wave = np.sin(2 * np.pi * time / season) + 0.01 * time + random.normal(0, 0.2, 400)
        assert season_of([wave[:, None]]) == season
    assert (
        season_of([random.normal(size=(400, 1))])
        == season_of([time[:, None] * 2.0])
        == season_of([np.ones((3, 1))])
        == 1
    )


def test_windows_are_whole_seasons_and_leave_most_to_begin_in():
    assert (window_of(8640, 24, 96), window_of(118, 12, 12), window_of(40, 24, 5)) == (504, 24, 10)


def test_the_seasonal_forecast_repeats_the_last_season(tmp_path):
    data = table(seed=1)
    data["sales"] = np.tile(np.arange(12.0), 20)
    data.loc[3, "sales"] += 1  # a forecast that is always right has no error to be measured in
    data.drop(columns="holiday").to_csv(tmp_path / "a.csv", index=False)
    info = prepare(tmp_path, tmp_path / "a.csv", horizon=30, window=24, test_steps=60, validation_steps=40)
    windows = load_windows(tmp_path / "processed", "test", info)
    chosen = torch.arange(len(windows))
    torch.testing.assert_close(seasonal_naive(windows, chosen, 12), windows.at(chosen)[2])


def test_errors_are_those_of_numpy():
    random = np.random.default_rng(0)
    found, truth, std, mean = random.normal(size=(9, 4, 2)), random.normal(size=(9, 4, 2)), [2.0, 3.0], [10.0, 20.0]
    series, scale = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1]), np.array([[1.0, 2.0], [4.0, 5.0]])
    errors = Errors(torch.tensor(std).double(), torch.tensor(mean).double(), torch.from_numpy(scale), 4)
    for part in (slice(0, 6), slice(6, 9)):
        errors.add(*(torch.from_numpy(values[part]) for values in (found, truth, series)))
    scores = errors.scores()
    own = np.abs(found - truth) * std
    own_found, own_truth = found * std + mean, truth * std + mean
    mase = np.mean([own[series == number].mean(axis=(0, 1)) / scale[number] for number in (0, 1)])
    expected = {
        "mase": mase,
        "smape": (200 * own / (np.abs(own_found) + np.abs(own_truth))).mean(),
        "mae": own.mean(),
        "mse": (own**2).mean(),
        "rmse": (own**2).mean() ** 0.5,
        "mae_standardised": np.abs(found - truth).mean(),
        "mse_standardised": ((found - truth) ** 2).mean(),
    }
    assert scores == pytest.approx(expected)


def test_the_pinball_loss_is_scikit_learns():
    from sklearn.metrics import mean_pinball_loss

    random = np.random.default_rng(0)
    outputs, actual = random.normal(size=(50, 4)), random.normal(size=50)
    expected = np.mean([mean_pinball_loss(actual, outputs[:, 1 + i], alpha=q) for i, q in enumerate(QUANTILES)])
    assert pinball(torch.from_numpy(outputs), torch.from_numpy(actual)).mean().item() == pytest.approx(expected)


def test_the_spread_makes_the_band_hold_what_it_promises():
    random = torch.Generator().manual_seed(0)
    noise = torch.randn(4_000, generator=random)
    quantiles = torch.tensor([0.0, -0.5, 0.0, 0.5]).expand(4_000, 4)  # of a band that is too narrow
    spread = band_spread(quantiles, noise)
    assert spread == pytest.approx(1.2816 / 0.5, rel=0.05)  # the normal distribution's 90 % quantile
    assert ((noise.abs() <= 0.5 * spread).double().mean() - 0.8).abs() < 0.001
    assert band_spread(quantiles[:2], torch.tensor([0.1, 1.0])) == pytest.approx(2.0)  # of few, the worst


def test_quantiles_never_cross_and_the_mean_is_left_alone():
    torch.manual_seed(0)
    network, past, ahead = Forecaster(window=12, horizon=3, features=2), torch.randn(5, 12, 2), torch.zeros(5, 3, 0)
    raw, found = network(past, ahead), network.forecast(past, ahead)
    assert (raw[..., 1:].diff(dim=-1) < 0).any() and (found[..., 1:].diff(dim=-1) >= 0).all()
    assert torch.equal(raw[..., 0], found[..., 0])
    assert torch.equal(raw[..., 1:].sum(dim=-1) > 0, found[..., 1:].sum(dim=-1) > 0)


@pytest.mark.parametrize("cell", [None, "gru"])
def test_a_forecast_follows_the_level_and_the_size_of_its_window(cell):
    """Whatever the unit of the past, the forecast is in it."""
    torch.manual_seed(0)
    network = Forecaster(window=24, horizon=6, features=2, cell=cell, hidden_size=8, layers=1).eval()
    past, ahead = torch.randn(3, 24, 2), torch.zeros(3, 6, 0)
    with torch.no_grad():
        torch.testing.assert_close(network(past * 7 + 50, ahead), network(past, ahead) * 7 + 50, rtol=1e-3, atol=1e-3)
        alone = network(past[..., :1].expand(-1, -1, 2), ahead)[..., 0, :]
    torch.testing.assert_close(alone, network(past, ahead)[..., 0, :].detach())  # of its own past alone


@pytest.mark.parametrize("network", ["linear", "recurrent"])
def test_a_season_is_learnt_scored_drawn_and_answered(tmp_path, network):
    table().to_csv(tmp_path / "a.csv", index=False)
    cut = {"horizon": 12, "window": 24, "test_steps": 36, "columns": Columns(known="holiday")}
    info = prepare(tmp_path, tmp_path / "a.csv", **cut)
    small = {"hidden_size": 16, "layers": 1, "dropout": 0.0}
    made, fitted, _ = trained(tmp_path, info, network=network, **small)
    calibration = made.calibrate(fitted)
    data = {key: info[key] for key in (*made.card_keys, "source", "sha256")}
    folder = tmp_path / "report"
    scores = report_forecast(folder, tmp_path / "processed", fitted, data, **calibration, batch_size=16, device=CPU)
    assert scores["test_windows"] == 25 and scores["mase"] < scores["baseline_seasonal_naive_mase"]
    assert abs(scores["coverage"] - 0.8) < 0.15
    drawn = {path.name for path in (folder / "evaluation").iterdir()} | {path.name for path in folder.iterdir()}
    assert {"forecasts.png", "error_by_step.png", "error_by_step.csv", "confusion.csv", "confusion.png"} <= drawn

    about = {"data": data, "training": {}, "calibration": calibration}
    save_model(tmp_path / "model", fitted.state_dict(), family="rnn", network=made.description, **about)
    served = SequenceModel(tmp_path / "model")
    past = table()[["sales", "holiday"]].to_numpy(float)
    answer = served.predict([past[:216], past[:100]], {})
    assert list(answer) == ["forecast", "low", "median", "high"]
    found = np.asarray(answer["forecast"][0])[:, 0]
    windows = load_windows(tmp_path / "processed", "test", info)
    expected = (
        fitted(*windows.at(torch.tensor([0]))[:2])[0, :, 0, 0].detach().numpy() * info["std"][0] + info["mean"][0]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    low, median, high = (np.asarray(answer[name][0]) for name in ("low", "median", "high"))
    assert (low <= median).all() and (median <= high).all()
    with pytest.raises(BadInput, match="has 30 steps; the model looks 24 steps back, and 12 steps of what is known"):
        served.predict([past[:30]], {})


def test_the_linear_baseline_is_ridge_regression(tmp_path):
    table().drop(columns="holiday").to_csv(tmp_path / "a.csv", index=False)
    info = prepare(tmp_path, tmp_path / "a.csv", horizon=12, window=24, test_steps=36)
    windows = load_windows(tmp_path / "processed", "test", info)
    found = LinearForecast(tmp_path / "processed", info)(windows, torch.arange(len(windows)))
    actual = windows.at(torch.arange(len(windows)))[2]
    naive = seasonal_naive(windows, torch.arange(len(windows)), 12)
    assert (found - actual).abs().mean() < 0.8 * (naive - actual).abs().mean()


def test_networks_that_do_not_forecast_are_named(tmp_path):
    table().to_csv(tmp_path / "a.csv", index=False)
    info = prepare(tmp_path, tmp_path / "a.csv")
    with pytest.raises(BadInput, match="kernels sorts whole series; a forecast takes linear or recurrent"):
        plan(TrainRnn(network="kernels"), seed=0, folder=tmp_path / "processed", info=info, device=CPU)


def test_predict_continues_a_table(tmp_path, monkeypatch):
    from quartet.__main__ import app

    table().drop(columns="holiday").to_csv(tmp_path / "a.csv", index=False)
    info = prepare(tmp_path / "data", tmp_path / "a.csv", horizon=5, window=24)
    made, fitted, _ = trained(tmp_path / "data", info, steps=20, validate_every=20)
    data = {key: info[key] for key in (*made.card_keys, "source", "sha256")}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("{}\n")
    save_model(
        tmp_path / "models/rnn", fitted.state_dict(), family="rnn", network=made.description, data=data, training={}
    )
    done = CliRunner().invoke(app, ["predict", "rnn", "a.csv", "--out", "next.csv"])
    assert done.exit_code == 0, done.output
    answers = pd.read_csv("next.csv")
    assert answers["step_ahead"].tolist() == [1, 2, 3, 4, 5] and set(answers["feature"]) == {"sales"}
    assert (answers["low"] <= answers["high"]).all() and answers["error"].isna().all()
