"""`params.yaml` becomes settings or one message with every error."""

import functools
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from quartet.params.fields import every_setting
from quartet.params.reading import BadSettings
from quartet.params.table import settings_table
from quartet.settings import read_settings, schema, settings_of


def read(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return read_settings(path).tree


def test_the_repositorys_settings_are_the_defaults():
    assert read_settings(Path(__file__).parents[2] / "params.yaml") == settings_of({})


def test_all_errors_come_at_once(tmp_path):
    cnn = "train_cnn: {learnig_rate: 0.1, batch_size: many, dropout: 1.5, epochs: true}"
    text = f"seed: -1\n{cnn}\ndownload: {{images: cats}}"
    with pytest.raises(BadSettings) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert len(caught.value.errors) == 6
    assert "train_cnn.learnig_rate: unknown key; did you mean `learning_rate`?" in message
    assert "train_cnn.batch_size: found 'many', allowed is whole number ≥ 2" in message
    assert "seed: found -1" in message and "download.images: found 'cats'" in message


def test_a_message_stays_short_whatever_the_file_refers_to(tmp_path):
    laughs = "a0: &a0 [x, x, x, x, x, x, x]\n"
    laughs += "".join(f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 7)}]\n" for number in range(1, 20))
    for text in (
        f"{laughs}seed: *a19",
        "&a {seed: *a, runtime: *a}",
        "".join(f"k{number}: 1\n" for number in range(300)),
    ):
        with pytest.raises(BadSettings) as caught:
            read(tmp_path, text)
        assert len(str(caught.value)) < 10_000
    assert len(caught.value.errors) == 300 and "and 250 more" in str(caught.value)


def test_yaml_is_read_as_dvc_reads_it(tmp_path):
    assert read(tmp_path, "train_cnn: {learning_rate: 1e-3}").train_cnn.learning_rate == 0.001
    assert read(tmp_path, "download: {mirror: on}").download.mirror == "on"


def test_zero_is_a_value_not_an_absence(tmp_path):
    assert read(tmp_path, "seed: 0\ntrain_cnn: {ema: 0}").train_cnn.ema == 0


@pytest.mark.parametrize("text", ["a: [", "- 1", "5", "seed: .nan", "seed: .inf", "train_cnn: 3"])
def test_what_is_no_mapping_of_settings_is_refused(tmp_path, text):
    with pytest.raises(BadSettings):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{weights: imagenet}", r"train_cnn\.weights: is for efficientnet-lite0 and torchvision:NAME, not for compact"),
        ("{network: reference, freeze: 0.5}", r"train_cnn\.freeze: is for .* not for reference"),
        ("{layer_decay: 0.5}", r"train_cnn\.layer_decay: is for"),
        ("{network: efficientnet-lite0, weights: imagenet, start_from: models/cnn}", "a training starts from one"),
        ("{network: efficientnet-lite0, weights: imagenet, freeze: 0.5, max_seconds: 9}", "which max_seconds changes"),
        ("{network: efficientnet-lite0, freeze: 0.5}", r"train_cnn\.freeze: would keep random weights"),
        ("{network: 'torchvision:'}", "allowed is `compact`, `residual`, `reference`, `efficientnet"),
        ("{network: residual, width: 5}", r"train_cnn\.width: found 5; `residual` takes even ones"),
    ],
)
def test_settings_of_trained_bodies_are_refused_where_they_would_do_nothing(tmp_path, given, message):
    with pytest.raises(BadSettings, match=message):
        read(tmp_path, f"train_cnn: {given}")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "'muon' needs whole matrices"),
        ("optimizer: adamw, architecture: gru", "only Transformers are sharded, not architecture 'gru'"),
        ("optimizer: adamw, compile: true", "set train_lm.compile to false"),
        ("optimizer: adamw, on_divergence: rollback", "set train_lm.on_divergence to stop"),
        ("optimizer: adamw, max_seconds: 9", "set train_lm.steps instead of train_lm.max_seconds"),
    ],
)
def test_what_cannot_be_sharded_is_refused(tmp_path, given, message):
    with pytest.raises(BadSettings, match=rf"train_lm\.shard: found true, but .*{message}"):
        read(tmp_path, f"train_lm: {{shard: true, {given}}}")


def test_conflicts_are_refused(tmp_path):
    with pytest.raises(BadSettings, match="does not divide"):
        read(tmp_path, "train_lm: {width: 130, heads: 4}")
    assert (
        read(tmp_path, "train_lm: {width: 130, heads: 4, architecture: lstm}").train_lm.width == 130
    )  # it has no heads
    with pytest.raises(BadSettings, match=r"train_lm\.width: found 36; with rotary positions .* even"):
        read(tmp_path, "train_lm: {width: 36, heads: 4}")
    assert read(tmp_path, "train_lm: {width: 36, heads: 4, position: none}").train_lm.width == 36
    with pytest.raises(BadSettings, match=r"text_width: found 9; with sinusoidal positions it must be even"):
        read(tmp_path, "train_diffusion: {text_width: 9, text_heads: 3}")
    assert read(tmp_path, "train_diffusion: {text_width: 12, text_heads: 4}").train_diffusion.text_width == 12
    with pytest.raises(BadSettings, match=r"train_diffusion\.width: found 12, allowed is a multiple of 8"):
        read(tmp_path, "train_diffusion: {width: 12}")
    with pytest.raises(BadSettings, match=r"norm_groups: found 3, which does not divide train_diffusion\.width = 32"):
        read(tmp_path, "train_diffusion: {norm_groups: 3}")
    with pytest.raises(BadSettings, match=r"guidance: found 1\.4, which runs the network without a caption"):
        read(tmp_path, "train_diffusion: {caption_dropout: 0}")
    unguided = (
        "train_diffusion: {caption_dropout: 0, matcher: %s}\nevaluate: {diffusion: {guidance: 1, rejection: 0.2}}"
    )
    with pytest.raises(BadSettings, match=r"rejection: found 0\.2, .* needs train_diffusion\.matcher = true"):
        read(tmp_path, unguided % "false")
    assert read(tmp_path, unguided % "true").evaluate.diffusion.rejection == 0.2


def test_a_missing_file_says_where_to_run(tmp_path):
    with pytest.raises(BadSettings, match="top of the checkout"):
        read_settings(tmp_path / "none.yaml")


SETTINGS = {setting.name: setting for setting in every_setting(schema())}
# ruamel writes a text that begins with a question mark in a way that it cannot read.
texts = st.text(max_size=8).filter(lambda text: not text.startswith("?"))
values = st.none() | st.booleans() | st.integers() | st.floats() | texts


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(SETTINGS)), values, max_size=5))
def test_any_values_give_those_settings_or_name_each_that_is_wrong(tmp_path_factory, given_values):
    given_values = {n: v for n, v in given_values.items() if not isinstance(v, float) or math.isfinite(v)}
    nested = {}
    for name, value in given_values.items():
        *path, last = name.split(".")
        functools.reduce(lambda part, section: part.setdefault(section, {}), path, nested)[last] = value
    path = tmp_path_factory.mktemp("any") / "params.yaml"
    with path.open("w") as stream:
        YAML(typ="safe").dump(nested, stream)
    wrong = {n for n, v in given_values.items() if not SETTINGS[n].rule.accepts(v, SETTINGS[n].annotation)}
    try:
        found = read_settings(path)
    except BadSettings as error:
        named = {message.split(":")[0] for message in error.errors}
        assert named == wrong if wrong else named <= set(SETTINGS)  # else they contradict each other
        assert len(error.errors) >= len(wrong)
    else:
        assert not wrong
        assert {name: found.section(name) for name in given_values} == given_values


def test_the_table_has_a_row_per_setting():
    names = [setting.name for setting in every_setting(schema())]
    assert len(names) == len(set(names)) == len(settings_table(schema()).splitlines()) - 2


def test_the_reference_network_names_both_settings_that_it_needs(tmp_path):
    with pytest.raises(BadSettings, match=r"preprocess\.images\.size = 48 \(found null\).*channels = 3 \(found 1\)"):
        read(tmp_path, "{train_cnn: {network: reference}, preprocess: {images: {channels: 1}}}")
    read(tmp_path, "{train_cnn: {network: reference}, preprocess: {images: {channels: 3, size: 48}}}")
