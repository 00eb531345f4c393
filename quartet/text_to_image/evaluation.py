"""Score text to image.

Does the judge, the image family's network, recognise the class that was asked for? Are the pictures as varied as real
ones, are they not copies, and can a classifier of real images be trained on them?
"""

import dataclasses
from pathlib import Path

import torch

from quartet.artifacts import paths
from quartet.artifacts.model_store import load_weights, read_card_for
from quartet.artifacts.rebuilding import count_parameters, rebuild_network
from quartet.artifacts.writing import read_json
from quartet.classification.confusion_files import write_confusion
from quartet.classification.split_files import write_splits
from quartet.datasets.images import open_images
from quartet.images.settings import TrainCnn
from quartet.text_to_image.caption_evaluation import evaluate_captions
from quartet.text_to_image.captions.open_captions import is_open
from quartet.text_to_image.captions.templates import TEMPLATES, UNSEEN_TEMPLATES, captioner
from quartet.text_to_image.class_pictures import draw_classes, fewest_pictures, network_evaluations_per_picture
from quartet.text_to_image.classifier_accuracy import classifier_accuracy
from quartet.text_to_image.generated_images import (
    copy_rate,
    copy_threshold,
    fid_ratio,
    labelled_features,
    variance_ratio,
)
from quartet.text_to_image.judge import trained_judge
from quartet.text_to_image.networks import NETWORKS
from quartet.text_to_image.settings import EvaluateDiffusion, TrainDiffusion
from quartet.text_to_image.sheets import (
    BETWEEN_ROWS,
    STRIP_ROWS,
    draw_forward_process,
    draw_interpolation,
    draw_neighbours,
    draw_reverse_process,
    draw_samples,
    evenly_spaced,
)
from quartet.text_to_image.sweep import FID_DRAWS, sweep, write_sweep


def evaluate(
    how: EvaluateDiffusion,
    trained: TrainDiffusion,
    classifier: TrainCnn,
    *,
    folder: Path,
    batch_size: int,
    seed: int,
    device: torch.device,
) -> dict[str, float]:
    """Score the text-to-image network; writes pictures and tables into `folder`.

    Args:
        how: how to draw, and how many pictures.
        trained: the training settings of the network.
        classifier: the training settings of the classifiers of drawn and of real images.
        folder: where to write.
        batch_size: pictures drawn or scored at once.
        seed: of the noise and of the classifiers.
        device: where to compute.
    """
    processed = paths.processed("images")
    card = read_card_for(paths.model("diffusion"), processed)
    network = rebuild_network(NETWORKS, card, load_weights(paths.model("diffusion"))).to(device)
    if is_open(card["data"]):
        return evaluate_captions(
            network, how, classifier, folder=folder, batch_size=batch_size, seed=seed, device=device
        )
    captions = captioner(card["data"])
    if how.images < fewest_pictures(captions):
        raise ValueError(
            f"evaluate.diffusion.images: found {how.images}; to measure their variety takes two of each of the "
            f"{len(captions.classes)} classes, {fewest_pictures(captions)} in all"
        )
    judge = trained_judge(captions.classes, device, batch_size)
    train, held_out, test = (open_images(processed, split, device) for split in ("train", "validation", "test"))
    if train[1].bincount().max() < 2:
        raise ValueError(
            f"{processed}: every class has one training image, which is too few to measure variety; add more"
        )

    generator = torch.Generator(device).manual_seed(seed)
    known, labels, templates = draw_classes(network, captions, TEMPLATES, how, generator, batch_size)
    unseen, _, _ = draw_classes(network, captions, UNSEEN_TEMPLATES, how, generator, batch_size)
    seen_as, unseen_seen_as = judge.classes_of(known), judge.classes_of(unseen)
    fidelity = (seen_as == labels).float().mean().item()
    title = f"Text to image: the judge sees the right class in {fidelity:.2%} of {len(labels)} pictures"
    classes = list(captions.classes)
    write_confusion(folder, labels.cpu().numpy(), seen_as.cpu().numpy(), classes, title, row_label="prompted")
    write_splits(folder, read_json(processed / "info.json"))

    pictures = folder / "evaluation"
    draw_samples(pictures / "samples.png", known, labels, templates, captions)
    draw_neighbours(pictures / "neighbours.png", known, labels, train[0], captions.classes)
    generator = torch.Generator(device).manual_seed(seed)
    draw_forward_process(pictures / "forward_process.png", train[0][:1][0], network.schedule, generator)
    shown = min(STRIP_ROWS, len(captions.classes))
    names = [captions.caption(label, TEMPLATES[0]) for label in range(shown)]
    draw_reverse_process(pictures, network, captions.encode(names).to(device), names, how, generator)
    ends = evenly_spaced(torch.arange(len(captions.classes)), 2 * BETWEEN_ROWS).tolist()
    names = [captions.caption(label, TEMPLATES[0]) for label in ends]
    draw_interpolation(
        pictures / "interpolation.png", network, captions.encode(names).to(device), names, how, generator
    )
    swept = sweep(
        network,
        captions,
        judge,
        how,
        train=train,
        held_out=held_out,
        unguided=trained.caption_dropout == 0,
        batch_size=batch_size,
        seed=seed,
    )
    write_sweep(pictures, swept, how)

    feature_sets = [labelled_features(*each, judge.features_of) for each in ((known, labels), test, train)]
    ratio, spread = fid_ratio(*feature_sets, draws=FID_DRAWS, seed=seed)
    threshold = copy_threshold(train[0])
    # The settings of the image family's network: the accuracy of a weaker classifier depends too much on its seed.
    # Without compiling, which pays off only in long trainings.
    brief = dataclasses.replace(
        classifier, steps=how.classifier_steps, epochs=None, max_seconds=None, patience=None, compile=False
    )
    info, seeds = read_json(processed / "info.json"), range(seed, seed + how.classifiers)
    drawn_accuracy, drawn_spread = classifier_accuracy(
        "drawn", brief, info, device, seeds=seeds, train=(known, labels), test=test
    )
    real_accuracy, real_spread = classifier_accuracy("real", brief, info, device, seeds=seeds, train=train, test=test)
    return {
        "fidelity": fidelity,
        "fidelity_unseen_templates": (unseen_seen_as == labels).float().mean().item(),
        "judge_accuracy": (judge.classes_of(test[0]) == test[1]).float().mean().item(),
        "fid_ratio": ratio,
        "fid_ratio_spread": spread,
        "variance_ratio": variance_ratio(known, labels, *train),
        "copy_rate": copy_rate(known, train[0], threshold),
        "copy_rate_test": copy_rate(test[0], train[0], threshold),
        "cas_accuracy": drawn_accuracy,
        "cas_accuracy_spread": drawn_spread,
        "cas_accuracy_real": real_accuracy,
        "cas_accuracy_real_spread": real_spread,
        "network_evaluations": network_evaluations_per_picture(network, how, len(captions.classes)),
        "generated_images": len(labels),
        "parameters": count_parameters(network),
    }
