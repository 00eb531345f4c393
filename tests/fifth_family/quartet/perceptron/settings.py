"""Settings of the perceptron."""

import dataclasses

from quartet.params.fields import setting, with_default
from quartet.params.shared import Training


@dataclasses.dataclass(frozen=True)
class TrainMlp(Training):
    """How the perceptron is trained."""

    hidden: int = setting(32, "units of the hidden layer", at_least=1, at_most=4096)
    steps: int = with_default(Training, "steps", 60)
    validate_every: int = with_default(Training, "validate_every", 20)
