"""The image family: convolutional networks that classify pictures."""
