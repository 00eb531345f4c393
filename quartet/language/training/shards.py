"""Which layers of a Transformer are sharded: the weights of each are gathered for its forward and backward pass."""

from torch import nn

from quartet.language.networks.decoder import Decoder
from quartet.language.networks.encoder_decoder import EncoderDecoder

METHODS = ("fill", "encode", "decode_hidden")  # of an encoder-decoder, which training calls instead of `forward`


def shards_of(network: nn.Module) -> dict[str, tuple[str, ...]]:
    """The blocks of a Transformer, and all the rest of it, as `Task.shards` has them.

    In the decoder of an encoder-decoder, only the feed-forward layers: the attention of a block reads the encoder's
    text before the block is called.
    """
    if isinstance(network, EncoderDecoder):
        encoder = {f"encoder.{number}": () for number in range(len(network.encoder))}
        return {
            **encoder,
            **{f"blocks.{number}.feed_forward": () for number in range(len(network.blocks))},
            "": METHODS,
        }
    assert isinstance(network, Decoder)
    return {**{f"blocks.{number}": () for number in range(len(network.blocks))}, "": ()}
