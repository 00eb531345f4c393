"""Whether an error is the machine's, as too little memory or too many open files: what was read may be whole then."""

import errno

# The wordings of torch, of the system's loader while it imports, and of Python's threads, in lower case.
OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "failed to map segment",
    "can't start new thread",
    "std::bad_alloc",
)
# Errors that say what is at a path; EIO is a block that the disk cannot read, EILSEQ a name that it cannot hold.
_OF_PATHS = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EINVAL,
    errno.EILSEQ,
    errno.ENXIO,
    errno.EIO,
    None,
}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was too little memory, also where an import failed for it and says so in its own words."""
    causes: BaseException | None = error
    while causes is not None:
        words = str(causes).lower()
        if isinstance(causes, MemoryError) or getattr(causes, "errno", None) == errno.ENOMEM:
            return True
        if any(each in words for each in OUT_OF_MEMORY):
            return True
        causes = causes.__cause__ or causes.__context__
    return False


def raise_shortage(error: Exception) -> None:
    """Raise an error that came up while a file was read, if it is the machine's and says nothing of the file's content.

    Raises:
        MemoryError: there is too little memory.
        OSError: the system refuses, as for a permission or too many open files.
    """
    if is_out_of_memory(error):
        raise MemoryError(str(error)) from error
    if isinstance(error, OSError) and error.errno not in _OF_PATHS:
        raise error
