"""The networks that model text, by their names in a model's card."""

from quartet.language.networks.decoder import Decoder
from quartet.language.networks.encoder_decoder import EncoderDecoder
from quartet.language.networks.interface import LanguageModel
from quartet.language.networks.recurrent import RecurrentLanguageModel

NETWORKS: dict[str, type[LanguageModel]] = {
    "decoder": Decoder,
    "encoder-decoder": EncoderDecoder,
    "recurrent-language-model": RecurrentLanguageModel,
}
