"""The safetensors package of Python opens what cairn writes, and cairn reads what that writes.

usage: test_safetensors.py SUPPORT_FOLDER SAFETENSORS_TOOL
"""

import json
import pathlib
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, sys.argv[1])
from tap import Skip, case, expect, run  # noqa: E402

TOOL = sys.argv[2]

try:
    import safetensors
except ImportError:
    safetensors = None
try:
    import numpy
except ImportError:
    numpy = None


def need(with_numpy):
    if safetensors is None:
        raise Skip("safetensors is not installed")
    if with_numpy and numpy is None:
        raise Skip("numpy is not installed")


def written(folder):
    path = pathlib.Path(folder) / "cairn.safetensors"
    subprocess.run([TOOL, "write", path], check=True)
    return path


def header_of(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return length, json.loads(data[8 : 8 + length]), len(data)


@case("the header is one that readers accept: offsets from 0, without gap or overlap, to the end of the file")
def _():
    with tempfile.TemporaryDirectory() as folder:
        length, header, size = header_of(written(folder))
    expect((8 + length) % 4096 == 0, f"the data begins at {8 + length}")
    header.pop("__metadata__")
    expected = 0
    for begin, end in sorted(entry["data_offsets"] for entry in header.values()):
        expect(begin == expected, f"{begin} where {expected} is due")
        expected = end
    expect(8 + length + expected == size, "the data does not end with the file")


@case("__metadata__ is strings, the tree among them")
def _():
    with tempfile.TemporaryDirectory() as folder:
        _, header, _ = header_of(written(folder))
    metadata = header["__metadata__"]
    expect(metadata["cairn.format_version"] == "1", metadata)
    tree = json.loads(metadata["cairn.tree"])
    expect(tree["step"] == 7, tree)
    expect(struct.unpack(">d", bytes.fromhex(tree["lr"][1])) == (3e-4,), tree["lr"])
    expect(tree["model"]["weight"] == ["tensor", "model.weight"], tree["model"])
    expect(tree["bytes"] == ["bytes", "bytes"], tree["bytes"])


@case("the safetensors package reads what cairn writes")
def _():
    need(with_numpy=False)
    with tempfile.TemporaryDirectory() as folder:
        tensors = dict(safetensors.deserialize(written(folder).read_bytes()))
    weight = tensors["model.weight"]
    expect(weight["dtype"] == "F32" and list(weight["shape"]) == [2, 3], weight)
    expect(struct.unpack("<6f", bytes(weight["data"])) == (1.5, -2, 3, 4, 5, 6), weight)
    transposed = struct.unpack("<6f", bytes(tensors["model.transposed"]["data"]))
    expect(transposed == (1.5, 4, -2, 5, 3, 6), transposed)
    expect(list(tensors["model.empty"]["shape"]) == [0, 3], tensors["model.empty"])
    expect(list(tensors["model.scalar"]["shape"]) == [], tensors["model.scalar"])
    expect(bytes(tensors["bytes"]["data"]) == b"\x07" * 5, tensors["bytes"])
    expect('ünïcode "quoted"\n' in tensors and "" in tensors, sorted(tensors))
    dtypes = sum(name.startswith("dtypes.") for name in tensors)
    expect(dtypes == 22, f"{dtypes} dtypes")


@case("safe_open, which maps the file, reads it too")
def _():
    need(with_numpy=True)
    with tempfile.TemporaryDirectory() as folder:
        with safetensors.safe_open(written(folder), framework="np") as file:
            expect(file.metadata()["cairn.format_version"] == "1", file.metadata())
            weight = file.get_tensor("model.weight")
    expect(weight.tolist() == [[1.5, -2, 3], [4, 5, 6]], weight)


@case("cairn reads what the safetensors package writes")
def _():
    need(with_numpy=True)
    from safetensors.numpy import save_file

    tensors = {
        "f32": numpy.arange(6, dtype=numpy.float32).reshape(2, 3),
        "f16": numpy.array([1, -1], dtype=numpy.float16),
        "i64": numpy.array([[1], [2]], dtype=numpy.int64),
        "bool": numpy.array([True, False, True]),
        "scalar": numpy.array(2.5, dtype=numpy.float64),
        "empty": numpy.zeros((0, 4), dtype=numpy.int32),
        "u8": numpy.arange(5, dtype=numpy.uint8),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "python.safetensors"
        save_file(tensors, path, metadata={"format": "np"})
        output = subprocess.run([TOOL, "read", path], check=True, capture_output=True, text=True).stdout
    read = {}
    for line in output.splitlines():
        name, _dtype, shape, data = line.split("\t")
        read[name] = (tuple(int(extent) for extent in shape.split(",") if extent), bytes.fromhex(data))
    expect(read.keys() == tensors.keys(), read.keys())
    for name, tensor in tensors.items():
        expect(read[name] == (tensor.shape, tensor.tobytes()), f"{name}: {read[name]}")


sys.exit(run())
