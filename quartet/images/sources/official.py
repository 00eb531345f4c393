"""The well-known image datasets: how to get their files, and what they are."""

import dataclasses
import gzip
import hashlib
import importlib.util
import math
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

from quartet.artifacts.checksums import md5, sha256
from quartet.artifacts.fetching import LARGEST_UNPACKED, Fetching, fetch, refuse_larger, sha256_unpacked
from quartet.artifacts.writing import atomic_path
from quartet.images.sources.class_names import CIFAR10, DIGITS, FASHION, TRAFFIC_SIGNS

_LARGEST_ARCHIVE = 2**31  # bytes that an archive of pictures unpacks to; GTSRB has less than 2**30
_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_MNIST_HOME = "https://ossci-datasets.s3.amazonaws.com/mnist"
_MNIST_UNPACKED = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)
_FASHION_HOME = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_FASHION_MD5 = (
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "25c81989df183df01b3e8a0aad5dffbe",
    "bef4ecab320f06d8554ea6380940ec79",
    "bb300cfdad3c16e7a12a480ee83cd310",
)
_CIFAR_ARCHIVE = "cifar-10-binary.tar.gz"
_CIFAR_HOME = f"https://www.cs.toronto.edu/~kriz/{_CIFAR_ARCHIVE}"
_CIFAR_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
_GTSRB_HOME = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370"
_GTSRB_PARTS = {
    "GTSRB-Training_fixed.zip": "513f3c79a4c5141765e10e952eaa2478",
    "GTSRB_Final_Test_Images.zip": "c7e4e6327067d32654124b0fe9e82185",
    "GTSRB_Final_Test_GT.zip": "fe31e9c9270bbcd7b84b7f21a9d9d9e5",
}


def _download_digits(fetching: Fetching, folder: Path) -> None:
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise ValueError("sklearn is not installed; the image source `digits` needs it. Run `make setup`")
    with atomic_path(folder / "digits.csv.gz") as temporary:
        shutil.copyfile(Path(package.origin).parent / "datasets/data/digits.csv.gz", temporary)


def _download_mnist(fetching: Fetching, folder: Path) -> None:
    for name, checksum in zip(_IDX, _MNIST_UNPACKED, strict=True):
        home, target = f"{_MNIST_HOME}/{name}.gz", folder / f"{name}.gz"
        fetch(f"mnist/{name}.gz", home, target, fetching, expected=checksum, checksum_of=sha256_unpacked)


def _download_fashion(fetching: Fetching, folder: Path) -> None:
    for name, checksum in zip(_IDX, _FASHION_MD5, strict=True):
        home, target = f"{_FASHION_HOME}/{name}.gz", folder / f"{name}.gz"
        _fetch_packed(f"fashion-mnist/{name}.gz", home, target, fetching, checksum, _checked_idx)


def _download_cifar10(fetching: Fetching, folder: Path) -> None:
    target = folder / _CIFAR_ARCHIVE
    _fetch_packed(f"cifar10/{_CIFAR_ARCHIVE}", _CIFAR_HOME, target, fetching, _CIFAR_MD5, _checked_tar)


def _download_gtsrb(fetching: Fetching, folder: Path) -> None:
    target = folder / "gtsrb.zip"
    if fetching.mirror is not None:
        fetch("gtsrb/gtsrb.zip", "", target, fetching, checksum_of=_checked_zip)
    else:
        _merge_official_gtsrb(fetching, target)


def _fetch_packed(
    name: str, home: str, target: Path, fetching: Fetching, official_md5: str, checked: Callable[[Path], str]
) -> None:
    """Verify the official checksum or, for a mirror, which may have recompressed the data, run `checked` on it."""
    if fetching.mirror is None:
        fetch(name, home, target, fetching, expected=official_md5, checksum_of=md5)
    else:
        fetch(name, home, target, fetching, checksum_of=checked)


def _merge_official_gtsrb(fetching: Fetching, target: Path) -> None:
    """Merge the three official zips into one with the layout that mirrors serve."""
    parts = [target.with_name(name) for name in _GTSRB_PARTS]
    try:
        for part, checksum in zip(parts, _GTSRB_PARTS.values(), strict=True):
            fetch("", f"{_GTSRB_HOME}/{part.name}", part, fetching, expected=checksum, checksum_of=md5)
        with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w") as merged:
            for part in parts:
                with zipfile.ZipFile(part) as source:
                    for entry in sorted(source.infolist(), key=lambda entry: entry.filename):
                        if not entry.is_dir():
                            stamped = zipfile.ZipInfo(f"gtsrb/{entry.filename}")
                            merged.writestr(stamped, source.read(entry))
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


@dataclasses.dataclass(frozen=True)
class Source:
    """A known dataset: `download` puts its files into a folder; `subject` describes its pictures in captions."""

    download: Callable[[Fetching, Path], None]
    origin: str
    licence: str
    classes: list[str]
    subject: str


_DIGITS_ORIGIN = "UCI Optical Recognition of Handwritten Digits, test part, as bundled with scikit-learn"
SOURCES = {
    "digits": Source(_download_digits, _DIGITS_ORIGIN, "CC BY 4.0", DIGITS, "handwritten"),
    "mnist": Source(_download_mnist, _MNIST_HOME, "CC BY-SA 3.0", DIGITS, "handwritten"),
    "fashion-mnist": Source(_download_fashion, _FASHION_HOME, "MIT", FASHION, "photographed"),
    "cifar10": Source(_download_cifar10, _CIFAR_HOME, "free for research", CIFAR10, "photographed"),
    "gtsrb": Source(_download_gtsrb, _GTSRB_HOME, "free for research", TRAFFIC_SIGNS, "photographed"),
}


def _checked_zip(path: Path) -> str:
    """Check every entry of a zip, once the sizes that they declare are known; returns its SHA-256."""
    try:
        with zipfile.ZipFile(path) as archive:
            refuse_larger(sum(entry.file_size for entry in archive.infolist()), _LARGEST_ARCHIVE)
            broken = archive.testzip()  # an entry that is larger than it says has another checksum at its end
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, UnicodeDecodeError) as error:  # or it is encrypted
        raise OSError(str(error)) from error
    if broken is not None:
        raise OSError(f"its entry {broken} is damaged")
    return sha256(path)


def _checked_tar(path: Path) -> str:
    """Read a tar archive to its end, or to the most that it may unpack to; returns its SHA-256."""
    try:
        with (
            gzip.open(path, "rb") as stream,
            tarfile.open(fileobj=cast("IO[bytes]", _Bounded(stream)), mode="r|") as archive,
        ):
            for member in archive:
                refuse_larger(member.size, _LARGEST_ARCHIVE)
    except (tarfile.TarError, OverflowError) as error:
        raise OSError(str(error)) from error
    return sha256(path)


class _Bounded:
    """A stream of which no more is read than a data set has."""

    def __init__(self, stream: gzip.GzipFile):
        self._stream, self._read = stream, 0

    def read(self, size: int) -> bytes:
        self._read += size
        refuse_larger(self._read, _LARGEST_ARCHIVE)
        return self._stream.read(size)


def _checked_idx(path: Path) -> str:
    """Check that an IDX file has the length that its header says; returns the SHA-256 of its unpacked content."""
    with gzip.open(path, "rb") as stream:
        start = stream.read(4)
        dimensions = start[3] if len(start) > 3 else 0
        start += stream.read(4 * dimensions)
        sizes = struct.unpack(f">{dimensions}I", start[4:])
        length = 4 + 4 * dimensions + math.prod(sizes)
        refuse_larger(length, LARGEST_UNPACKED)
        content = start + stream.read(length - len(start) + 1)
    if content[:3] != b"\0\0\x08" or len(content) != length:
        raise OSError(f"not a complete IDX file of bytes: {len(content)} bytes or more, but its header says {length}")
    return hashlib.sha256(content).hexdigest()
