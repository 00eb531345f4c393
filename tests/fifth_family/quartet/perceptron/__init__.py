"""The fifth family of the test: a multilayer perceptron on the digits."""
