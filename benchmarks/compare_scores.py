"""Compare a rebuild's scores with the committed ones: `python -m benchmarks.compare_scores`, after `make repro`.

Prints every score of `reports/*/metrics.json` in the commit and in the workspace, and fails if one differs by more than
another kind of processor can explain: 0.02 for scores up to 1, or a tenth, whichever is more.
"""

import json
import subprocess
import sys
from pathlib import Path

SHARE, RATIO = 0.02, 0.1


def main() -> None:
    """Print the table; exit with 1 if any scores differ too much."""
    worst = 0
    print(f"{'family':10} {'score':32} {'committed':>12} {'rebuilt':>12}")
    for path in sorted(Path("reports").glob("*/metrics.json")):
        shown = subprocess.run(["git", "show", f"HEAD:{path.as_posix()}"], capture_output=True, text=True, check=True)
        committed, rebuilt = json.loads(shown.stdout), json.loads(path.read_text(encoding="utf-8"))
        for name in sorted(committed.keys() | rebuilt.keys()):
            before, after = committed.get(name), rebuilt.get(name)
            verdict = "" if is_close(before, after) else "  DIFFERS"
            worst += bool(verdict)
            print(f"{path.parent.name:10} {name:32} {before!s:>12} {after!s:>12}{verdict}")
    sys.exit(f"{worst} scores differ by more than another kind of processor can explain" if worst else 0)


def is_close(before: float | None, after: float | None) -> bool:
    """Whether two scores differ by no more than two kinds of processor can explain."""
    if before is None or after is None:
        return False
    return abs(after - before) <= max(SHARE if max(abs(before), abs(after)) <= 1 else 0, RATIO * abs(before))


if __name__ == "__main__":
    main()
