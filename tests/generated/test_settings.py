"""Each setting with values of every sort, settings as mutated text, and what is given on command lines."""

import pytest
from cases import DEEP, JUNK, case, damaged, generators
from ruamel.yaml import YAML

from quartet.commands.search import ranges
from quartet.commands.use import parse
from quartet.families import FAMILIES
from quartet.params.fields import every_setting
from quartet.params.reading import read_yaml
from quartet.settings import schema, settings_of

SETTINGS = {setting.name: setting for setting in every_setting(schema())}


def nested(name, value):
    *sections, key = name.split(".")
    tree = {key: value}
    for section in reversed(sections):
        tree = {section: tree}
    return tree


def values(setting):
    """Junk, and the ends of the setting's range with what is just beyond."""
    rule = setting.rule
    ends = [end for end in (rule.at_least, rule.at_most, rule.above, rule.below) if end is not None]
    near = [value for end in ends for value in (end, end - 1, end + 1, -end, float(end), end * 1e30)]
    kinds = [*(f"{prefix}x" for prefix in rule.prefixes), *rule.choices, *rule.prefixes]
    return [*JUNK, *near, *kinds, DEEP, {setting.name: DEEP}]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_taken_or_refused(name):
    for value in values(SETTINGS[name]):
        case(lambda value=value: settings_of(nested(name, value)), named="params.yaml")


YAML_TEXT = b"""seed: 0
download: {images: digits, retries: 4, timeout: 30.0}
preprocess:
  images: {size: null, splits: auto}
train_lm: {steps: 400, learning_rate: 1e-3, layers: 4, heads: 4}
evaluate: {batch_size: 256, lm: {confusion_tokens: 20}}
"""


def test_settings_that_are_no_settings(tmp_path):
    path = tmp_path / "params.yaml"
    for rng in generators(400, "yaml"):
        path.write_bytes(damaged(YAML_TEXT, rng).replace(b"[" * 3000, b"[["))  # which takes ruamel half a second
        case(lambda: settings_of(read_yaml(path), path), named="params.yaml")
    for text in (
        "a: " + "[" * 3000,
        "a: 2024-02-30",
        "a: &a [*a]",
        "train_lm: &a {steps: *a}",
        "seed: " + "9" * 5000,
        "? [1]\n: 2",
    ):
        path.write_text(text)
        case(lambda: settings_of(read_yaml(path), path), named="params.yaml")


def test_changes_on_the_command_line():
    names = list(SETTINGS)
    for rng in generators(500, "changes"):
        text = damaged(f"{rng.choice(names)}={rng.choice(JUNK)}"[:600].encode(errors="replace"), rng).decode(
            errors="replace"
        )
        case(lambda text=text: settings_of(nested(*parse(text, SETTINGS))))


def test_ranges_of_a_search():
    names = list(SETTINGS)
    for rng in generators(400, "ranges"):
        text = f"{rng.choice(names)}={rng.choice(('', 'log:'))}{rng.choice(JUNK)}..{rng.choice(JUNK)}"[:600]
        text = damaged(text.encode(errors="replace"), rng).decode(errors="replace")[:600]
        case(lambda text=text: ranges.parse([text], FAMILIES["lm"]))


def test_the_cases_are_yaml():
    assert YAML(typ="safe").load(YAML_TEXT)["train_lm"]["steps"] == 400
