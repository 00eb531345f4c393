"""Activation functions by name: without a non-linearity between them, layers would collapse into one.

relu        max(0, x)                       (Nair & Hinton 2010)
leaky_relu  max(0.01 x, x)                  (Maas et al. 2013)
elu         x if x > 0 else exp(x) − 1      (Clevert et al. 2016)
gelu        x Φ(x), Φ the normal cumulative distribution   (Hendrycks & Gimpel 2016)
silu        x σ(x), σ the logistic function (Ramachandran et al. 2017)
sigmoid     σ(x) = 1 / (1 + exp(−x))
tanh        (exp(x) − exp(−x)) / (exp(x) + exp(−x))
"""

from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}
