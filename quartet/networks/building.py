"""Rebuild a network from the arguments that its model card keeps."""

from collections.abc import Mapping

from torch import Tensor, nn

from quartet.networks.compact_cnn import CompactCnn
from quartet.networks.decoder import Decoder
from quartet.networks.encoder_decoder import EncoderDecoder
from quartet.networks.recurrent import RecurrentClassifier
from quartet.networks.recurrent_language_model import RecurrentLanguageModel
from quartet.networks.reference_cnn import ReferenceCnn
from quartet.networks.text_to_image import TextToImage

NETWORKS: dict[str, type[nn.Module]] = {
    "compact": CompactCnn,
    "reference": ReferenceCnn,
    "recurrent": RecurrentClassifier,
    "decoder": Decoder,
    "encoder-decoder": EncoderDecoder,
    "recurrent-language-model": RecurrentLanguageModel,
    "text-to-image": TextToImage,
}


def build_network(description: Mapping[str, object]) -> nn.Module:
    """The network named `description["name"]`, freshly initialised, from the remaining arguments."""
    arguments = dict(description)
    return NETWORKS[arguments.pop("name")](**arguments)


def rebuild_network(card: Mapping[str, object], weights: Mapping[str, Tensor]) -> nn.Module:
    """A trained network, ready to be asked, from its card and weights.

    Raises:
        ValueError: the network's code is no longer the one that the model was trained with.
    """
    try:
        network = build_network(card["network"])
        network.load_state_dict(weights)
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"the {card['family']} model does not fit this version of the code; `dvc repro` trains it anew"
        ) from error
    return network.eval()


def count_parameters(network: nn.Module) -> int:
    """Trainable numbers in the network."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
