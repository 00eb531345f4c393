"""The networks that model text, by the name that a model's card gives them."""

from quartet.language.networks.decoder import Decoder
from quartet.language.networks.encoder_decoder import EncoderDecoder
from quartet.language.networks.recurrent import RecurrentLanguageModel

NETWORKS = {
    "decoder": Decoder,
    "encoder-decoder": EncoderDecoder,
    "recurrent-language-model": RecurrentLanguageModel,
}
