"""Translation: an encoder-decoder that turns a source into a target."""
