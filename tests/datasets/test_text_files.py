"""Text files as people have them: read in pieces, in any encoding that can be told."""

import gzip
import os
import threading
from unittest import mock

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.artifacts.errors import BadInput
from quartet.datasets.reading import text_files
from quartet.datasets.reading.text_files import lines_of, read_text

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
PIECE = st.integers(1, 9)


@settings(deadline=None)
@given(text=TEXT.filter(lambda text: not text.startswith("\ufeff")), piece=PIECE)
def test_a_text_read_in_pieces_is_the_text(tmp_path_factory, text, piece):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_bytes(text.encode())
    with mock.patch.object(text_files, "CHUNK", piece):
        assert read_text(path) == text
        assert "".join(lines_of(path)) == text
    assert all(line.endswith("\n") for line in list(lines_of(path))[:-1])


@settings(deadline=None)
@given(text=TEXT, piece=PIECE)
def test_marks_and_packing_make_no_difference(tmp_path_factory, text, piece):
    folder = tmp_path_factory.mktemp("text")
    content = b"\xef\xbb\xbf" + text.encode()
    (folder / "marked.txt").write_bytes(content)
    (folder / "packed.txt.gz").write_bytes(gzip.compress(content))
    (folder / "packed.txt.zst").write_bytes(pyarrow.Codec("zstd").compress(content, asbytes=True))
    (folder / "little.txt").write_bytes(b"\xff\xfe" + text.encode("utf-16-le"))
    (folder / "big.txt").write_bytes(b"\xfe\xff" + text.encode("utf-16-be"))
    with mock.patch.object(text_files, "CHUNK", piece):
        assert {read_text(path) for path in folder.iterdir()} == {text}


@settings(deadline=None)
@given(before=TEXT.filter(lambda text: len(text) < 9), piece=PIECE, after=st.sampled_from([b"", b"a", "é".encode()]))
def test_the_byte_that_is_not_utf8_is_named_wherever_pieces_end(tmp_path_factory, before, piece, after):
    before = before.removeprefix("\ufeff")
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_bytes(before.encode() + "日".encode()[:2] + after)
    words = f"byte {len(before.encode())} .0xe6. is not UTF-8"
    with mock.patch.object(text_files, "CHUNK", piece), pytest.raises(BadInput, match=words):
        read_text(path)


@settings(deadline=None)
@given(before=TEXT.filter(lambda text: len(text) < 9), piece=PIECE)
def test_a_nul_is_named_wherever_pieces_end(tmp_path_factory, before, piece):
    before = before.removeprefix("\ufeff")
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_bytes(f"{before}\0é".encode())
    with (
        mock.patch.object(text_files, "CHUNK", piece),
        pytest.raises(BadInput, match=f"byte {len(before.encode())} is NUL"),
    ):
        read_text(path)


@pytest.mark.parametrize(
    ("text", "encoding", "likely"),
    [
        ("Le café où l'été a commencé, déjà très près de la forêt. " * 9, "latin-1", "WINDOWS-1252"),
        ("“Quotes” – and a dash’s length… " * 9, "cp1252", "WINDOWS-1252"),
        ("Съешь же ещё этих мягких французских булок, да выпей чаю. " * 9, "cp1251", "WINDOWS-1251"),
        ("山不在高,有仙则名。水不在深,有龙则灵。斯是陋室,惟吾德馨。" * 9, "gb18030", "GB18030"),
        ("吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。" * 9, "shift_jis", "SHIFT_JIS"),
    ],
)
def test_another_encoding_is_named_with_the_command_that_converts_it(tmp_path, text, encoding, likely):
    path = tmp_path / "my text.txt"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(BadInput) as caught:
        read_text(path)
    assert f"iconv -f {likely} -t UTF-8 '{path}' > '{tmp_path / 'my text-utf8.txt'}'" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"), [("a.gz", b"no archive"), ("a.gz", gzip.compress(b"text" * 99, mtime=0)[:20])]
)
def test_a_damaged_archive_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=rf"{name}: cannot be read: "):
        read_text(tmp_path / name)


@pytest.mark.parametrize("text", ["short", "\ufefflong " * 9_999], ids=["short", "long"])
def test_a_pipe_is_read_whole(tmp_path, text):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=(text,), kwargs={"encoding": "utf-8"})
    writer.start()
    assert read_text(tmp_path / "pipe") == text.removeprefix("\ufeff")
    writer.join()
