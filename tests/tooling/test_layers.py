"""Pins the layers of the design: no include goes up or sideways; and shows that the check notices what it is for."""

import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import layers  # noqa: E402
from tap import case, expect, run  # noqa: E402


def planted(files):
    """What the check says about a tree of the given files."""
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return layers.violations(root)


def expect_one(files, text):
    found = planted(files)
    expect(len(found) == 1 and text in found[0], f"expected one finding with {text!r}, got {found}")


@case("no include goes up, sideways, or to a foreign library outside its folder")
def _():
    found = layers.violations(ROOT)
    expect(not found, "\n".join(found))


@case("every public header is installed and in cairn.hpp")
def _():
    found = layers.unlisted_headers(ROOT)
    expect(not found, "\n".join(found))


@case("every folder of src is a layer, and every layer below knows none above")
def _():
    order = list(layers.MAY_INCLUDE)
    for layer, below in layers.MAY_INCLUDE.items():
        for other in below:
            expect(order.index(other) < order.index(layer), f"{layer} includes {other}")
            expect(layer not in layers.MAY_INCLUDE[other], f"{layer} and {other} include each other")


@case("the check accepts a good tree")
def _():
    found = planted({
        "src/core/a.hpp": "#include <vector>\n#include <sys/mman.h>\n",
        "src/loop/b.cpp": '#include <asio.hpp>\n#include "core/a.hpp"\n#include "c.hpp"\n',
        "src/loop/c.hpp": "#include <cairn/task.hpp>\n",
        "src/checkpoint/d.cpp": '#include "staging/e.hpp"\n#include "executor/f.hpp"\n',
        "include/cairn/task.hpp": '#include "cairn/scheduler.hpp"\n',
        "include/cairn/scheduler.hpp": "#include <coroutine>\n",
        "include/cairn/asio.hpp": "#include <asio/async_result.hpp>\n",
        "tools/cairn.cpp": "#include <CLI/CLI.hpp>\n#include <fmt/format.h>\n#include <cairn/task.hpp>\n",
    })
    expect(not found, f"{found}")


@case("the check notices an arrow that goes up")
def _():
    expect_one({"src/core/a.cpp": '#include "loop/loop.hpp"\n'}, "core may not know loop")
    expect_one({"src/format/a.cpp": "#include <uring/file.hpp>\n"}, "format may not know uring")
    expect_one({"src/staging/a.cpp": '  #  include "checkpoint/x.hpp"\n'}, "staging may not know checkpoint")


@case("the check notices an arrow that goes sideways")
def _():
    expect_one({"src/staging/a.cpp": '#include "executor/x.hpp"\n'}, "staging may not know executor")
    expect_one({"src/loop/a.cpp": '#include "uring/x.hpp"\n'}, "loop may not know uring")


@case("the check notices an arrow that goes up through a public header")
def _():
    expect_one({"src/executor/a.cpp": '#include "cairn/checkpointer.hpp"\n'}, "executor may not know checkpoint")
    expect_one({"include/cairn/task.hpp": '#include "cairn/state.hpp"\n'}, "core may not know format")
    expect_one({"include/cairn/task.hpp": '#include "core/event.hpp"\n'}, "public headers only")


@case("the check notices a foreign library outside its folder")
def _():
    expect_one({"src/executor/a.cpp": "#include <asio/post.hpp>\n"}, "asio stays in src/loop")
    expect_one({"src/loop/a.cpp": "#include <liburing.h>\n"}, "liburing stays in src/uring")
    expect_one({"src/checkpoint/a.cpp": "#include <nlohmann/json.hpp>\n"}, "nlohmann/json stays in src/format")
    expect_one({"src/executor/a.cpp": '#include "xxhash.h"\n'}, "xxHash stays in src/format")
    expect_one({"src/core/a.cpp": "#include <fmt/core.h>\n"}, "fmt stays in tools")
    expect_one({"include/cairn/task.hpp": "#include <asio.hpp>\n"}, "no asio in a public header")
    expect_one({"src/core/a.cpp": "#include <zlib.h>\n"}, "neither ours")


@case("the check notices what has no layer, and an include that climbs")
def _():
    expect_one({"src/other/a.cpp": ""}, "src/other is no layer")
    expect_one({"include/cairn/strange.hpp": ""}, "has no layer")
    expect_one({"src/core/a.cpp": '#include "../loop/loop.hpp"\n'}, "includes start at")


if __name__ == "__main__":
    sys.exit(run())
