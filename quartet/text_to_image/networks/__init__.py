"""The network that draws, by the name that a model's card gives it."""

from quartet.text_to_image.networks.text_to_image import TextToImage

NETWORKS = {"text-to-image": TextToImage}
