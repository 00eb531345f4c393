"""Settings: `params.yaml` becomes frozen, typed sections; every bad setting is reported at once."""

from quartet.params.reading import BadSettings, read_params
from quartet.params.sections import Params

__all__ = ["BadSettings", "Params", "read_params"]
