"""The image family: labelled pictures, and convolutional networks that tell their classes."""
