"""The readers of users' own files and of downloaded archives, and questions to served models."""

import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from cases import JUNK, case, damaged, generators, mutated
from PIL import Image

from quartet.artifacts.verification import read_described, write_described
from quartet.commands.predict import parse_parameters
from quartet.datasets.reading.json_lines import json_objects
from quartet.datasets.reading.tables import read_table
from quartet.datasets.reading.text_files import text_chunks
from quartet.datasets.reading.ts_files import read_ts_files
from quartet.images.preparation.decoding import decode, read_header
from quartet.images.preparation.reading import read_raw_images
from quartet.sequences.preparation import read_series
from quartet.sequences.settings import PreprocessSequences
from quartet.text_to_image.serving import Painter
from quartet.tracking.served import Array, Column, refuse_too_much

TEXT = "The value of a naïve array.\n🙂 ends here.\n".encode()


@pytest.mark.parametrize("name", ["own.txt", "own.txt.gz", "own.txt.zst"])
def test_texts_of_any_bytes(tmp_path, name):
    import pyarrow

    packed = {".gz": gzip.compress, ".zst": lambda text: pyarrow.compress(text, "zstd", asbytes=True)}
    whole, path = packed.get(Path(name).suffix, bytes)(TEXT), tmp_path / name
    for rng in generators(500, name):
        path.write_bytes(damaged(whole, rng))
        case(lambda: list(text_chunks(path)), named=name)


def test_lines_of_json_of_any_bytes(tmp_path):
    path = tmp_path / "own.jsonl"
    for rng in generators(1200, "lines"):
        path.write_bytes(damaged(b'{"text": "a", "label": 3}\n{"text": "b", "label": 4.5}\n', rng))
        case(lambda: list(json_objects(path)), named="own.jsonl")


SERIES = b"series,step,x,label\na,1,0.5,up\na,2,0.75,up\nb,1,1.5,down\nb,2,2.5,down\n"
SALES = b"day,sales\n" + b"".join(b"2024-02-%02d,%d\n" % (day, day * 3) for day in range(1, 25))


@pytest.mark.parametrize(("content", "task"), [(SERIES, "auto"), (SALES, "forecast")], ids=["labelled", "forecast"])
def test_tables_of_any_bytes(tmp_path, content, task):
    path, settings = tmp_path / "own.csv", PreprocessSequences(task=task)
    for rng in generators(300, f"tables {task}"):
        path.write_bytes(damaged(content, rng))
        case(lambda: read_table(path))
        case(lambda: read_series(f"csv:{path}", {path.name: None}, tmp_path, settings))


def test_series_of_any_bytes(tmp_path):
    path = tmp_path / "own_TRAIN.ts"
    for rng in generators(1000, "ts"):
        path.write_bytes(damaged(b"@problemName x\n@classLabel true a b\n@data\n1,2,3:4,5,6:a\n3,?,1:1,1,2:b\n", rng))
        case(lambda: read_ts_files({path: "train"}), named="own_TRAIN.ts")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "PPM", "BMP", "TIFF", "WEBP"])
def test_pictures_of_any_bytes(kind):
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (12, 9, 3), np.uint8)).save(stream, kind)
    for rng in generators(250, kind):
        content = damaged(stream.getvalue(), rng)
        case(lambda content=content: decode(io.BytesIO(content), "own.png"), named="own.png")
        case(lambda content=content: read_header(io.BytesIO(content), "own.png"), named="own.png")


def archives(folder):
    """A small archive of each kind, with its place, and the part in which mutations are not just another checksum."""
    header = struct.pack(">4I", 0x803, 3, 4, 4)
    yield "mnist", "train-images-idx3-ubyte.gz", header + bytes(48), gzip.compress
    yield "mnist", "train-labels-idx1-ubyte.gz", struct.pack(">2I", 0x801, 3) + bytes(3), gzip.compress
    yield "gtsrb", "GT-final_test.csv", b"Filename;Width;ClassId\n0.ppm;5;3\n1.ppm;5;7\n", bytes
    yield "gtsrb", "name", b"gtsrb/Training/00003/00001_00002.ppm", bytes
    yield "cifar10", "data_batch_1.bin", bytes(3073 * 2), bytes
    yield "digits", "digits.csv.gz", b"0.0,5.0," * 32 + b"3\n", gzip.compress


def write_archive(folder, source, name, content, packed):
    if source == "mnist":
        for split in ("train", "t10k"):
            images = gzip.compress(struct.pack(">4I", 0x803, 3, 4, 4) + bytes(48))
            (folder / f"{split}-images-idx3-ubyte.gz").write_bytes(images)
            (folder / f"{split}-labels-idx1-ubyte.gz").write_bytes(
                gzip.compress(struct.pack(">2I", 0x801, 3) + bytes(3))
            )
    if source == "gtsrb":
        with zipfile.ZipFile(folder / "gtsrb.zip", "w") as archive:
            csv = content if name.endswith("csv") else b"Filename;ClassId\n0.ppm;3\n"
            train = content.decode("latin-1") if name == "name" else "gtsrb/Training/00003/00001_00002.ppm"
            archive.writestr("gtsrb/GT-final_test.csv", csv)
            archive.writestr(train or "x", b"P6 2 2 255\n" + bytes(12))
            archive.writestr("gtsrb/Final_Test/0.ppm", b"P6 2 2 255\n" + bytes(12))
    elif source == "cifar10":
        with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    else:
        (folder / name).write_bytes(packed(content))


def test_downloaded_archives_of_any_content(tmp_path):
    for source, name, content, packed in archives(tmp_path):
        for rng in generators(150, f"{source} {name}"):
            write_archive(tmp_path, source, name, damaged(content, rng), packed)
            case(lambda source=source: list(read_raw_images(tmp_path, {"source": source, "classes": []}, [])))


WRONG = [
    (b"Filename;Width\n0.ppm;5\n", "GT-final_test.csv: has no column ClassId; it is not the GTSRB layout"),
    (b"Filename;ClassId\n0.ppm;two\n", "row 2: ClassId: found 'two', allowed is 0 to 42"),
    (b"Filename;ClassId\n0.ppm\n", "row 2: ClassId: found None, allowed is 0 to 42"),
    (b"Filename;ClassId\n0.ppm;43\n", "row 2: ClassId: found '43', allowed is 0 to 42"),
    (b"Filename;ClassId\nt\xe9.ppm;4\n", "GT-final_test.csv: byte 18 (0xe9) is not UTF-8"),
    (b"gtsrb/Training/stop/00001_00002.ppm", "stop/00001_00002.ppm: the folder: found 'stop', allowed is 0 to 42"),
]


@pytest.mark.parametrize(("content", "words"), WRONG, ids=[words for _, words in WRONG])
def test_a_wrong_gtsrb_is_said(tmp_path, content, words):
    write_archive(tmp_path, "gtsrb", "name" if content.startswith(b"gtsrb") else "GT-final_test.csv", content, bytes)
    with pytest.raises(ValueError) as refused:
        list(read_raw_images(tmp_path, {"source": "gtsrb"}, []))
    assert words in str(refused.value) and "gtsrb.zip" in str(refused.value)


def test_questions_of_any_shape():
    series, text = Array("uint8", 2), Column("prompt", "string")
    floats, interface = Array("float64", 2), Painter.interface({})
    for rng in generators(1500, "questions"):
        question = mutated([[[1, 2], [3, 4]], [[5, 6]]], rng)
        case(lambda question=question: series.checked(question))
        case(lambda question=question: floats.checked(question))
        prompts = mutated(["a", "b"], rng)
        case(lambda prompts=prompts: text.checked(prompts))
        case(lambda prompts=prompts, rng=rng: refuse_too_much(interface, prompts, {"steps": rng.choice(JUNK)}))


def test_parameters_on_the_command_line():
    defaults = {parameter.name: parameter.default for parameter in Painter.interface({}).parameters}
    for rng in generators(500, "parameters"):
        text = damaged(f"{rng.choice(list(defaults))}={rng.choice(JUNK)}"[:300].encode(errors="replace"), rng)
        case(lambda text=text: parse_parameters([text.decode(errors="replace")], defaults))


def test_what_is_written_is_read_again(tmp_path):
    content = {"a": [1, 2.5, "é", None]}
    write_described(tmp_path / "a.json", content)
    read = read_described(tmp_path / "a.json", {}, "")
    assert {name: read[name] for name in content} == content
