"""Text to image: a text encoder and a UNet that turn noise into the picture that a caption describes."""
