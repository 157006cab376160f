"""The shape of the source tree does not get worse: Tools/shape holds it to what was reached."""

import importlib.machinery
import importlib.util
import subprocess
import sys

from conftest import ROOT

LOADER = importlib.machinery.SourceFileLoader("shape", str(ROOT / "Tools/shape"))
SPECIFICATION = importlib.util.spec_from_loader("shape", LOADER)
shape = importlib.util.module_from_spec(SPECIFICATION)
sys.dont_write_bytecode = True
LOADER.exec_module(shape)


def test_the_shape_is_kept():
    result = subprocess.run([sys.executable, ROOT / "Tools/shape", "--check"], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout


def test_circles_are_found():
    files = {
        "a": "struct Alpha { func alphaWork() { betaWork() } }",
        "b": "struct Beta { func betaWork() { gammaWork() } }",
        "c": "func gammaWork() { Alpha().alphaWork() }",
        "d": "func deltaWork() { alphaWork() } // betaWork",
    }
    assert sorted(shape.circle_of({name: shape.code(text) for name, text in files.items()})) == ["a", "b", "c"]
    assert len(shape.circle_of({"a": "func alphaWork() {}", "d": files["d"]})) == 1


def test_comments_and_texts_are_no_code():
    assert "unsafe" not in shape.code('let a = "unsafe" // unsafe\n/* unsafe */')


def test_a_type_is_as_long_as_all_of_its_files():
    found = {}
    for text in ("public struct One {\n    var a: Int\n}\n", "extension One {\n    func b() {\n    }\n}\n"):
        for match, lines in shape.blocks(text, shape.TYPE):
            found[match[1]] = found.get(match[1], 0) + lines
    assert found == {"One": 7}
