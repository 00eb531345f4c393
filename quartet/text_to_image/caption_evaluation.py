"""Score text to image on pictures that have captions of their own, with or without classes and attributes.

Pictures are drawn of test captions. Judges and the matcher learn from training pictures alone, and what they say of
real test pictures stands beside each score.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from quartet.artifacts import paths
from quartet.artifacts.errors import BadInput
from quartet.artifacts.rebuilding import count_parameters
from quartet.artifacts.writing import read_json
from quartet.classification.confusion_files import write_confusion
from quartet.classification.no_classes import report_no_classes
from quartet.classification.split_files import write_splits
from quartet.datasets.images import Images
from quartet.images.settings import TrainCnn
from quartet.params.fields import changed, say_idle
from quartet.text_to_image.attribute_judge import AttributeJudge, attribute_scores
from quartet.text_to_image.caption_sheets import draw_attributes, draw_sheets, draw_unseen_compositions
from quartet.text_to_image.captioned_pictures import CaptionedPictures, load_captioned
from quartet.text_to_image.captions.attributes import Attributes, attributes_of
from quartet.text_to_image.captions.open_captions import OpenCaptions
from quartet.text_to_image.captions.prompts import PicturePrompts, encode_and_say
from quartet.text_to_image.class_pictures import draw_captions, network_evaluations_per_picture
from quartet.text_to_image.classifier_accuracy import classifier_accuracy
from quartet.text_to_image.generated_images import (
    LabelledFeatures,
    copy_rate,
    copy_threshold,
    fid_ratio,
    labelled_features,
    variance_ratio,
)
from quartet.text_to_image.judge import trained_judge
from quartet.text_to_image.networks.text_to_image import TextToImage
from quartet.text_to_image.retrieval import picture_features, retrieval, trained_matcher
from quartet.text_to_image.settings import EvaluateDiffusion
from quartet.text_to_image.sweep import FID_DRAWS


def evaluate_captions(
    network: TextToImage,
    how: EvaluateDiffusion,
    classifier: TrainCnn,
    *,
    folder: Path,
    batch_size: int,
    seed: int,
    device: torch.device,
) -> dict[str, float]:
    """Score a network that reads captions; writes pictures and tables into `folder`.

    Args:
        network: a text-to-image network.
        how: how to draw, and how many pictures.
        classifier: the training settings of judges.
        folder: where to write.
        batch_size: pictures drawn or scored at once.
        seed: of the noise, of the judges and of the matcher.
        device: where to compute.
    """
    info, processed = read_json(paths.processed("images") / "info.json"), paths.processed("images")
    train, test = (load_captioned(processed, split, info, device) for split in ("train", "test"))
    idle = ["swept_images"] if len(info["classes"]) > 1 else ["swept_images", "classifiers"]
    say_idle("evaluate.diffusion", changed(how, idle), "captions of the pictures' own")
    if how.images < 2 * max(len(info["classes"]), 1):
        raise ValueError(
            f"evaluate.diffusion.images: found {how.images}; to measure their variety takes at least two, of each class"
        )
    random = torch.Generator().manual_seed(seed)
    if len(test.captions) < 2:
        raise BadInput(
            f"{processed}: the test split has one picture; to compare drawn with real ones takes at least two: add "
            "pictures, or put more of them into test"
        )
    if len(test.captions) > how.images:
        test = test.some(torch.randperm(len(test.captions), generator=random)[: how.images].to(device))
    reader = OpenCaptions(network.merges, network.words)
    asked = [captions[place % len(captions)] for place, captions in enumerate(test.captions)]
    prompts = encode_and_say(reader, asked, "test").to(device)
    generator = torch.Generator(device).manual_seed(seed)
    pictures, owners = draw_captions(network, prompts, how, generator, batch_size)

    brief = dataclasses.replace(
        classifier, steps=how.classifier_steps, epochs=None, max_seconds=None, patience=None, compile=False
    )
    draw_sheets(folder / "evaluation", network, reader, pictures, owners, asked, train, how, seed)
    drawn = dataclasses.replace(test.some(owners), images=pictures)
    scored = Scoring(info, brief, how, train, test, drawn, batch_size=batch_size, seed=seed, device=device)
    if len(info["classes"]) > 1:
        scores, features = scored.by_class(folder)
    else:
        scores, features = scored.by_retrieval(folder, reader, prompts, owners)
    ratio, spread = fid_ratio(*features, draws=FID_DRAWS, seed=seed)
    threshold = copy_threshold(train.images)
    return {
        **scores,
        **scored.by_attribute(folder / "evaluation", owners),
        "fid_ratio": ratio,
        "fid_ratio_spread": spread,
        "variance_ratio": variance_ratio(pictures, drawn.labels, train.images, train.labels),
        "copy_rate": copy_rate(pictures, train.images, threshold),
        "copy_rate_test": copy_rate(test.images, train.images, threshold),
        "network_evaluations": network_evaluations_per_picture(network, how, len(prompts)),
        "generated_images": len(pictures),
        "parameters": count_parameters(network),
    }


@dataclasses.dataclass(frozen=True)
class Scoring:
    """Judges of drawn pictures, which are trained on training pictures.

    Attributes:
        info: the `info.json` of the pictures.
        brief: the training settings of judges.
        how: how pictures were drawn and are scored.
        train, test: real pictures.
        drawn: drawn pictures, with the labels, captions and attributes of the test pictures whose captions were drawn.
    """

    info: Mapping
    brief: TrainCnn
    how: EvaluateDiffusion
    train: CaptionedPictures
    test: CaptionedPictures
    drawn: CaptionedPictures
    batch_size: int
    seed: int
    device: torch.device

    def by_class(self, folder: Path) -> tuple[dict[str, float], list[LabelledFeatures]]:
        """The scores of the image family's classifier; and its features of drawn, test and train pictures."""
        judge = trained_judge(self.info["classes"], self.device, self.batch_size)
        sets, classes = (self.drawn, self.test, self.train), list(self.info["classes"])
        seen = judge.classes_of(self.drawn.images)
        fidelity = _share(seen == self.drawn.labels)
        title = f"Text to image: the judge sees the right class in {fidelity:.2%} of {len(seen)} pictures"
        truth = self.drawn.labels.cpu().numpy()
        write_confusion(folder, truth, seen.cpu().numpy(), classes, title, row_label="prompted")
        write_splits(folder, self.info)
        real = (self.test.images, self.test.labels)
        seeds = range(self.seed, self.seed + self.how.classifiers)
        accuracy: dict[str, float] = {}
        for kind, split, name in (("drawn", self.drawn, "cas_accuracy"), ("real", self.train, "cas_accuracy_real")):
            trained_on = (split.images, split.labels)
            mean, spread = classifier_accuracy(
                kind, self.brief, self.info, self.device, seeds=seeds, train=trained_on, test=real
            )
            accuracy |= {name: mean, f"{name}_spread": spread}
        scores = {
            "fidelity": fidelity,
            "judge_accuracy": _share(judge.classes_of(self.test.images) == self.test.labels),
            **accuracy,
        }
        return scores, [labelled_features(each.images, each.labels, judge.features_of) for each in sets]

    def by_retrieval(
        self, folder: Path, reader: OpenCaptions, asked: Tensor, owners: Tensor
    ) -> tuple[dict[str, float], list[LabelledFeatures]]:
        """How often a matcher finds the caption of a picture; and its features of drawn, test and train pictures.

        `asked` are the `(captions, words)` that were drawn, and `owners` which of them each picture was drawn from.
        """
        table, _ = reader.encode_cut([caption for each in self.train.captions for caption in each])
        counts = torch.tensor([len(each) for each in self.train.captions], device=self.device)
        matcher = trained_matcher(
            self.train.images,
            PicturePrompts(table.to(self.device), counts),
            vocabulary_size=reader.vocabulary_size,
            words=reader.longest,
            steps=self.how.classifier_steps,
            seed=self.seed,
        )

        def features_of(images: Images) -> Tensor:
            return picture_features(matcher, images, self.batch_size)

        drawn, real = features_of(self.drawn.images), features_of(self.test.images)
        train = labelled_features(self.train.images, self.train.labels, features_of)
        everything = torch.arange(len(asked), device=self.device)
        first, near = retrieval(matcher, drawn, owners, asked, seed=self.seed)
        real_first, real_near = retrieval(matcher, real, everything, asked, seed=self.seed)
        found = {"retrieval_top1": first, "retrieval_top5": near}
        found |= {"retrieval_top1_real": real_first, "retrieval_top5_real": real_near}
        scores = {**report_no_classes(folder, self.info, "Text to image"), **found}
        return scores, [(drawn, self.drawn.labels), (real, self.test.labels), train]

    def by_attribute(self, folder: Path, owners: Tensor) -> dict[str, float]:
        """The shares of pictures that have the attributes that were asked for; none if nothing is known of any.

        Draws the sheets of attributes into `folder`. `owners` are the test pictures whose captions were drawn.
        """
        attributes = attributes_of(self.info)
        if not attributes.names:
            return {}
        train = (self.train.images, self.train.attributes)
        judge = AttributeJudge(attributes, self.brief, self.info, train, self.device, seed=self.seed)
        seen, unseen = judge.seen_in(self.drawn.images), self._unseen(attributes)
        draw_attributes(folder / "attributes.png", attributes, self.drawn, seen)
        draw_unseen_compositions(
            folder / "unseen_compositions.png", self.drawn, unseen[0], owners, self.test, self.train
        )
        return attribute_scores(
            attributes,
            drawn=(seen, self.drawn.attributes),
            real=(judge.seen_in(self.test.images), self.test.attributes),
            unseen=unseen,
        )

    def _unseen(self, attributes: Attributes) -> tuple[Tensor, Tensor]:
        known = self.train.attributes
        first, second = (attributes.unseen_compositions(known, each.attributes) for each in (self.drawn, self.test))
        return first, second


def _share(right: Tensor) -> float:
    return right.float().mean().item()
