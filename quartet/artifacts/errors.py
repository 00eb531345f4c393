"""Report expected errors as one clear message and a non-zero exit code, without a traceback."""

import contextlib
import os
import sys
from collections.abc import Iterator

from quartet.artifacts.fetching import FetchError
from quartet.params.reading import BadSettings

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")  # torch's wordings


@contextlib.contextmanager
def clear_errors(stage: str) -> Iterator[None]:
    """Print an expected error as `stage: message` and exit with 2 for bad settings, 1 for anything else.

    `QUARTET_TRACEBACK=1` also prints the traceback.
    """
    try:
        yield
    except BadSettings as error:
        _report(stage, error)
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
