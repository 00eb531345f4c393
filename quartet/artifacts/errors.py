"""Report expected errors as one clear message and a non-zero exit code, without a traceback."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from quartet.artifacts.disk_space import NoRoom
from quartet.artifacts.fetching import FetchError
from quartet.artifacts.secrets import without_secrets
from quartet.artifacts.shortages import is_out_of_memory
from quartet.params.reading import BadSettings

SAID = "QUARTET_SAID"  # environment variable: the file that says that the first of several processes reported an error
NAMED = 10  # things in a message
NO_MEMORY = "out of memory; lower `batch_size` (of this stage or of `evaluate`), `width` or the data's size"


class BadInput(ValueError):
    """A user's data cannot be used; the message names the file or row, what was found and what to do."""


class BadRequest(BadInput):
    """No input can be answered: a parameter is wrong, or the model does nothing of the kind."""


def listed(names: Sequence[str], separator: str = ", ") -> str:
    """The first ten names and how many more there are, for a message."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return separator.join(names[:NAMED]) + more


@contextlib.contextmanager
def clear_errors(stage: str, advice: str = "") -> Iterator[None]:
    """Print an expected error as `stage: message` and exit with 2 for bad settings or input, 1 for anything else.

    `advice` is a line for the end of the message. `QUARTET_TRACEBACK=1` also prints the traceback.
    """
    try:
        yield
    except (BadSettings, BadInput) as error:
        _report(stage, error)
        if advice and isinstance(error, BadInput):
            print(advice, file=sys.stderr, flush=True)
        raise SystemExit(2) from None
    except (FetchError, ValueError, FloatingPointError, ConnectionError) as error:
        _report(stage, error)
        raise SystemExit(1) from None
    except (MemoryError, RuntimeError, ImportError, SystemError) as error:
        if not is_out_of_memory(error):
            raise
        _report(stage, NO_MEMORY)
        raise SystemExit(1) from None
    except OSError as error:
        if is_out_of_memory(error):
            _report(stage, NO_MEMORY)
        else:
            place = "" if isinstance(error, NoRoom) else f": {error.filename or ''}"
            _report(stage, f"{error.strerror or error}{place} (no partial output was kept)")
        raise SystemExit(1) from None
    except Exception as error:
        if not type(error).__module__.startswith("mlflow."):
            raise
        _report(stage, next(iter(str(error).splitlines()), type(error).__name__))
        raise SystemExit(1) from None


def _report(stage: str, error: object) -> None:
    if os.environ.get("QUARTET_TRACEBACK"):
        import traceback

        print(without_secrets(traceback.format_exc()), file=sys.stderr, flush=True)
    print(without_secrets(f"{stage}: {error}"), file=sys.stderr, flush=True)
    if SAID in os.environ and os.environ.get("RANK") == "0":
        with contextlib.suppress(OSError):  # a full disk may be what was just reported
            Path(os.environ[SAID]).touch()
