"""The text-to-image network, by its name in a model's card."""

from quartet.text_to_image.networks.text_to_image import TextToImage

NETWORKS = {"text-to-image": TextToImage}
