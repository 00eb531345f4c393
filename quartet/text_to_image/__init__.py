"""Text to image: a text encoder and a UNet that learn to turn noise into what a caption says."""
