"""torch's compiler: operations that follow each other become one, so that less goes to memory and back between them."""

from collections.abc import Callable

import torch


def compiled(function: Callable) -> Callable:
    """A function that does the same by fewer and larger operations; its first call compiles it.

    Raises (when called):
        ValueError: there is no compiler, or it cannot compile this.
    """
    # Rounded to bfloat16 wherever the separate operations round: where a largest value is looked for again in what it
    # came from, it must be equal to the bit.
    fused = torch.compile(function, options={"emulate_precision_casts": True})

    def call(*arguments: object) -> object:
        try:
            return fused(*arguments)
        except torch._dynamo.exc.BackendCompilerFailed as error:
            why = str(error.inner_exception).splitlines()[0]
            raise ValueError(f"compile: torch cannot compile here, set it to false: {why}") from error

    return call
