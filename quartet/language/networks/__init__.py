"""The networks that model text, by the name that a model's card gives them."""

from quartet.language.networks.decoder import Decoder
from quartet.language.networks.encoder_decoder import EncoderDecoder
from quartet.language.networks.interface import LanguageModel
from quartet.language.networks.recurrent import RecurrentLanguageModel

NETWORKS: dict[str, type[LanguageModel]] = {
    "decoder": Decoder,
    "encoder-decoder": EncoderDecoder,
    "recurrent-language-model": RecurrentLanguageModel,
}
