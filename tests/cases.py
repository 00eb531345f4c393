"""Generated cases: mutations of what is read, and a count of them, which the end of the test run prints."""

import contextlib
import copy
import io
import random
import warnings

from quartet.artifacts.errors import clear_errors

counted = 0
LONGEST = 4000  # characters of a message
DEEP: list = []
for _ in range(3000):
    DEEP = [DEEP]
# What stands in the place of a value: other kinds, ends of ranges, dates that do not exist, text of every sort.
JUNK: list = [
    None, True, False, 0, 1, -1, 2, 3, 255, 256, 65536, 2**31, 2**63, -(2**63) - 1, 10**18, 10**19, int("9" * 400),
    0.0, -0.0, 0.5, 1e-320, 1e30, -1e30, 1e300, 1e308, "", " ", "a", "0", "1e30", "nan", "inf", "null", "true",
    "2024-02-30", "31.02.2024", "é", "\ud7ff", "🙂" * 50, "x" * 500, "../..", "/dev/null", "a\nb", "a\0b",
    [], [0], [None], ["a"], [[]], [1, "a"], [[1.5, 2], [3]], {}, {"a": 1}, {"": {}}, {"a": {"b": []}},
]  # fmt: skip


def case(call, *, named=None):
    """Run one case as a stage does: it succeeds, or ends with a short message and the exit code 1 or 2.

    Any other exception is the traceback that a user would see. `named` must be in the message.
    """
    global counted
    counted += 1
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with clear_errors("case"):
                call()
        except SystemExit as ended:
            message = said.getvalue()
            assert ended.code in (1, 2) and message.startswith("case: ") and len(message) <= LONGEST, message
            assert "Traceback" not in message and (named is None or named in message), message


def mutated(content, rng):
    """JSON with a value in another's place, a key less or more, or a value that is nested."""
    content = copy.deepcopy(content)
    places = list(_places(content))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        holder, key = rng.choice(places)
        with contextlib.suppress(KeyError, IndexError, TypeError):
            action = rng.random()
            if action < 0.7:
                holder[key] = copy.copy(rng.choice(JUNK))
            elif action < 0.85:
                del holder[key]
            elif isinstance(holder, dict):
                holder[rng.choice(["", "x", "source", "é" * 30])] = holder[key]
            else:
                holder[key] = [holder[key]]
    return content


def _places(content):
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in list(pairs):
        yield content, key
        yield from _places(value)


def damaged(content, rng):
    """Bytes with some flipped, cut, repeated, taken out or put in."""
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place, length = rng.randrange(len(content) + 1), rng.choice((1, 2, 7, 40))
        action = rng.randrange(6)
        if action == 0 and place < len(content):
            content[place] ^= 1 << rng.randrange(8)
        elif action == 1:
            del content[place:]
        elif action == 2:
            del content[place : place + length]
        elif action == 3:
            content[place:place] = content[place : place + length] * rng.choice((1, 3))
        elif action == 4:
            content[place : place + length] = rng.randbytes(length)
        else:
            content[place:place] = rng.choice(TOKENS)
    return bytes(content)


TOKENS = [
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"'", b",", b";", b":", b"\n", b"\r", b"\t", b"{", b"}", b"[", b"]",
    b"[" * 3000, b"9" * 400, b"-1", b"1e999", b"NaN", b"Infinity", b"null", b"2024-02-30", b"&a [*a]", b"\xc3", b"%",
    b"!!python/object:os.system", b"\xf0\x9f\x99\x82", b"@data\n", b"1e30", b"..", b"inf", b"log:",
]  # fmt: skip


def generators(count, name):
    """A generator of random numbers for each case, the same in every run."""
    return (random.Random(f"{name} {number}") for number in range(count))
