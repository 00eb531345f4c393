"""Report expected errors as one clear message and a non-zero exit code, without a traceback."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence

from quartet.artifacts.fetching import FetchError
from quartet.params.reading import BadSettings

NAMED = 10  # things in a message
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")  # torch's wordings


class BadInput(ValueError):
    """A user's data cannot be used; the message names the file or row, what was found and what to do."""


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
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        _report(stage, "out of memory; lower `batch_size` (of this stage or of `evaluate`), `width` or the data's size")
        raise SystemExit(1) from None
    except OSError as error:
        _report(stage, f"{error.strerror or error}: {error.filename or ''} (no partial output was kept)")
        raise SystemExit(1) from None


def _report(stage: str, error: object) -> None:
    if os.environ.get("QUARTET_TRACEBACK"):
        import traceback

        traceback.print_exc()
    print(f"{stage}: {error}", file=sys.stderr, flush=True)
