"""A file from elsewhere may be damaged or made to do harm: it gets one line."""

import random
import struct
from pathlib import Path

import gguf
import pytest

from export.gguf_models import make
from understudy.errors import UserError
from understudy.export.gguf import write_gguf
from understudy.export.gguf_read import load_gguf


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("model")
    make(folder, "llama", "pieces")
    write_gguf(folder, folder / "m.gguf", "q8_0", {})
    return (folder / "m.gguf").read_bytes()


def test_what_is_no_file_of_this_kind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_gguf(tmp_path / "m.gguf")
    with pytest.raises(UserError, match="is a folder"):
        load_gguf(tmp_path)
    (tmp_path / "m.gguf").write_bytes(b"PK\3\4 and so on")
    with pytest.raises(UserError, match="not a GGUF file"):
        load_gguf(tmp_path / "m.gguf")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.03, 0.3, 0.9, 0.99])
def test_a_file_that_is_cut(share: float, whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(whole[: max(4, int(share * len(whole)))])
    with pytest.raises(UserError, match=r"damaged or cut \(.*\); write or fetch it again"):
        load_gguf(tmp_path / "m.gguf")


def test_damage_anywhere_gives_one_line_or_other_weights(whole: bytes, tmp_path: Path) -> None:
    draw = random.Random(0)
    told = []
    for _ in range(25):
        damaged = bytearray(whole)
        for place in draw.sample(range(4, 2000), 4):
            damaged[place] = draw.choice((0, 255, draw.randrange(256)))
        (tmp_path / "m.gguf").write_bytes(damaged)
        try:
            load_gguf(tmp_path / "m.gguf")
        except UserError as error:
            told.append(str(error))
    assert len(told) > 5
    assert all(line.isprintable() for line in told)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def head(tensors: int, *fields: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, len(fields)) + b"".join(fields)


STRING, ARRAY, UINT32 = 8, 9, 4


@pytest.mark.parametrize(
    "content",
    [
        head(0, text("a") + struct.pack("<IIQ", ARRAY, UINT32, 1 << 60)),  # numbers without end
        head(0, text("a") + struct.pack("<IQ", STRING, 1 << 62)),
        head(0, text("a") + struct.pack("<I", ARRAY) + struct.pack("<IQ", ARRAY, 1) * 5000),
        head(1 << 62),
    ],
)
def test_sizes_beyond_the_file_are_not_believed(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(UserError, match="damaged or cut"):
        load_gguf(tmp_path / "m.gguf")


def write(path: Path, arch: str, **fields: int) -> None:
    writer = gguf.GGUFWriter(path, arch)
    for key, value in fields.items():
        writer.add_uint32(f"{arch}.{key.replace('__', '.')}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()


def test_layers_without_number_are_not_built(tmp_path: Path) -> None:
    sizes = {"context_length": 8, "embedding_length": 8, "attention__head_count": 1}
    write(tmp_path / "m.gguf", "gpt2", block_count=1 << 31, feed_forward_length=8, **sizes)
    with pytest.raises(UserError, match="damaged or cut"):
        load_gguf(tmp_path / "m.gguf")


def test_other_architectures_are_named_without_their_control_characters(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", "mam\x1b[2Jba")
    with pytest.raises(UserError, match=r"m\.gguf: architecture mam\?\[2Jba is not read here"):
        load_gguf(tmp_path / "m.gguf")
