"""Where images come from: each source brings its files, as they are, and says what they are."""

import gzip
import hashlib
import importlib.util
import math
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

from quartet.artifacts.checksums import md5, sha256
from quartet.artifacts.fetching import FetchError, fetch, sha256_unpacked
from quartet.artifacts.paths import own
from quartet.artifacts.writing import atomic_path
from quartet.datasets.class_names import CIFAR10, DIGITS, FASHION, TRAFFIC_SIGNS
from quartet.params.sections import Download

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"}

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
_CIFAR_HOME = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_CIFAR_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
_GTSRB_HOME = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370"
_GTSRB_PARTS = {
    "GTSRB-Training_fixed.zip": "513f3c79a4c5141765e10e952eaa2478",
    "GTSRB_Final_Test_Images.zip": "c7e4e6327067d32654124b0fe9e82185",
    "GTSRB_Final_Test_GT.zip": "fe31e9c9270bbcd7b84b7f21a9d9d9e5",
}


def download_images(settings: Download, folder: Path) -> dict:
    """Bring the files of the chosen source into `folder` and return their manifest.

    Raises:
        FetchError: a file cannot be had or is wrong.
        ValueError: a user's folder does not hold one sub-folder of pictures per class.
    """
    if settings.images.startswith("folder:"):
        about = _own_folder(own(settings.images.removeprefix("folder:")), folder)
    else:
        about = _SOURCES[settings.images](settings, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    checksums = {path.relative_to(folder).as_posix(): sha256(path) for path in files}
    counts = {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}
    return {"source": settings.images, **about, "checksums": checksums, "counts": counts}


def _fetch(settings: Download, name: str, home: str, target: Path, expected: str | None, checksum_of: Callable) -> str:
    return fetch(
        name,
        home,
        target,
        mirror=settings.mirror,
        retries=settings.retries,
        timeout=settings.timeout,
        expected=expected,
        checksum_of=checksum_of,
    )


def _digits(settings: Download, folder: Path) -> dict:
    package = Path(importlib.util.find_spec("sklearn").origin).parent
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "digits.csv.gz") as temporary:
        shutil.copyfile(package / "datasets/data/digits.csv.gz", temporary)
    return {
        "origin": "UCI Optical Recognition of Handwritten Digits, test part, as bundled with scikit-learn",
        "licence": "CC BY 4.0",
        "classes": DIGITS,
        "caption_subject": "handwritten",
    }


def _mnist(settings: Download, folder: Path) -> dict:
    for name, checksum in zip(_IDX, _MNIST_UNPACKED, strict=True):
        packed = f"{name}.gz"
        _fetch(settings, f"mnist/{packed}", f"{_MNIST_HOME}/{packed}", folder / packed, checksum, sha256_unpacked)
    return {"origin": _MNIST_HOME, "licence": "CC BY-SA 3.0", "classes": DIGITS, "caption_subject": "handwritten"}


def _fashion(settings: Download, folder: Path) -> dict:
    for name, checksum in zip(_IDX, _FASHION_MD5, strict=True):
        packed = f"{name}.gz"
        # A mirror may have packed the same data anew, so there only the content's shape can be checked.
        official = settings.mirror is None
        expected, checksum_of = (checksum, md5) if official else (None, _checked_idx)
        name_in_mirror = f"fashion-mnist/{packed}"
        _fetch(settings, name_in_mirror, f"{_FASHION_HOME}/{packed}", folder / packed, expected, checksum_of)
    return {"origin": _FASHION_HOME, "licence": "MIT", "classes": FASHION, "caption_subject": "photographed"}


def _cifar10(settings: Download, folder: Path) -> dict:
    target = folder / "cifar-10-binary.tar.gz"
    _fetch(settings, "cifar10/cifar-10-binary.tar.gz", _CIFAR_HOME, target, _CIFAR_MD5, md5)
    return {
        "origin": _CIFAR_HOME,
        "licence": "free for research",
        "classes": CIFAR10,
        "caption_subject": "photographed",
    }


def _gtsrb(settings: Download, folder: Path) -> dict:
    target = folder / "gtsrb.zip"
    if settings.mirror is not None:
        _fetch(settings, "gtsrb/gtsrb.zip", "", target, None, _checked_zip)
    else:
        _merge_official_gtsrb(settings, target)
    return {
        "origin": _GTSRB_HOME,
        "licence": "free for research",
        "classes": TRAFFIC_SIGNS,
        "caption_subject": "photographed",
    }


def _merge_official_gtsrb(settings: Download, target: Path) -> None:
    """One zip in the layout that mirrors serve from the three that the official home serves."""
    parts = [target.with_name(name) for name in _GTSRB_PARTS]
    try:
        for part, checksum in zip(parts, _GTSRB_PARTS.values(), strict=True):
            _fetch(settings, "", f"{_GTSRB_HOME}/{part.name}", part, checksum, md5)
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


_SOURCES = {"digits": _digits, "mnist": _mnist, "fashion-mnist": _fashion, "cifar10": _cifar10, "gtsrb": _gtsrb}


def _own_folder(source: Path, folder: Path) -> dict:
    if not source.is_dir():
        raise ValueError(f"download.images: {source} is not a folder")
    classes, left_out = [], []
    for sub_folder in sorted(path for path in source.iterdir() if path.is_dir() and not path.name.startswith(".")):
        pictures = sorted(path for path in sub_folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        others = [path for path in pictures if path.suffix.lower() not in PICTURES]
        left_out += [path.relative_to(source).as_posix() for path in others]
        pictures = [path for path in pictures if path not in set(others)]
        if not pictures:
            raise ValueError(f"{sub_folder}: no picture in this class folder; add some or remove the folder")
        for path in pictures:
            target = folder / "pictures" / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        classes.append(sub_folder.name)
    if len(classes) < 2:
        raise ValueError(
            f"{source}: {len(classes)} class folder{'' if len(classes) == 1 else 's'}; "
            "a classifier needs at least two, one sub-folder of pictures per class"
        )
    if left_out:
        print(f"{source}: left out {len(left_out)} files that are not pictures, such as {left_out[0]}", flush=True)
    return {
        "origin": source.name,
        "licence": "the user's own",
        "classes": classes,
        "caption_subject": "pictured",
        "left_out": left_out,
    }


def _checked_zip(path: Path) -> str:
    """SHA-256 of a zip whose every entry is intact."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except zipfile.BadZipFile as error:
        raise OSError(str(error)) from error
    if broken is not None:
        raise OSError(f"its entry {broken} is damaged")
    return sha256(path)


def _checked_idx(path: Path) -> str:
    """SHA-256 of an unpacked IDX file that is as long as its header says."""
    with gzip.open(path, "rb") as stream:
        content = stream.read()
    dimensions = content[3] if len(content) > 3 else 0
    sizes = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
    length = 4 + 4 * dimensions + math.prod(sizes)
    if content[:3] != b"\0\0\x08" or len(content) != length:
        raise FetchError(f"{path.name}: not a whole IDX file of bytes: {len(content)} bytes, its header says {length}")
    return hashlib.sha256(content).hexdigest()
