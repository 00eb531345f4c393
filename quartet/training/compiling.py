"""torch's compiler: it fuses successive operations, to save memory traffic."""

from collections.abc import Callable

import torch


def compiled(function: Callable) -> Callable:
    """Compile a function; the compilation happens in its first call.

    Raises (when called):
        ValueError: there is no compiler, or it cannot compile this.
    """
    # Fused operations must round to bfloat16 where separate ones do: the backward pass of `amax`, for example, finds
    # the maximum among its inputs by exact equality.
    fused = torch.compile(function, options={"emulate_precision_casts": True})

    def call(*arguments: object) -> object:
        try:
            return fused(*arguments)
        except torch._dynamo.exc.BackendCompilerFailed as error:
            why = str(error.inner_exception).splitlines()[0]
            raise ValueError(f"compile: torch cannot compile here, set it to false: {why}") from error

    return call
