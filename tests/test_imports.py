"""A plain install works: modules that do not train or evaluate import without torch, and heavy imports are deferred."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages

import pytest

import lipsmith
from lipsmith.cli.failures import EXTRAS

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
CONTRACTS = {row["id"]: row for row in tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["contracts"]}
PLAIN = (*CONTRACTS["plain"]["source_modules"], "lipsmith.cli")
"""Rooms that `lint-imports` keeps free of the `train` extra. All verbs' options come without it, too."""
SERVED = ("lipsmith.serve", "lipsmith.client", "lipsmith.web")
"""Rooms of the `serve` extra."""

# Simulates an install without extras: imports of packages that are no plain dependencies fail.
WITHOUT_EXTRAS = """
import importlib, json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
failed = {{}}
for name in {modules!r}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        failed[name] = str(error)
print(json.dumps(failed))
"""


def module_names() -> list[str]:
    folder = str(Path(lipsmith.__file__).parent)
    return [found.name for found in walk_packages([folder], "lipsmith.") if not found.name.endswith("__main__")]


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_plain(module: str) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in PLAIN)


@pytest.mark.parametrize("name", module_names())
def test_every_module_imports(name: str) -> None:
    if name.startswith("lipsmith.cluster"):
        pytest.importorskip("ray")
    elif not is_plain(name):
        pytest.importorskip("fastapi" if name.startswith(SERVED) else "torch")
    import_module(name)


def test_a_plain_install_imports_all_but_training_and_evaluation() -> None:
    absent = {package for packages in EXTRAS.values() for package in packages} | {"onnxscript", "librosa", "scipy"}
    modules = [name for name in module_names() if is_plain(name)]
    assert json.loads(run(WITHOUT_EXTRAS.format(absent=absent, modules=modules))) == {}


def test_a_plain_install_imports_all_names_of_the_package() -> None:
    absent = {package for packages in EXTRAS.values() for package in packages}
    program = WITHOUT_EXTRAS.format(absent=absent, modules=[]) + "from lipsmith import *\n"
    assert run(f"{program}print(Dubber.__name__)").endswith("Dubber\n")


def test_help_works_without_what_adapt_needs() -> None:
    program = (
        "import sys\nsys.modules['torch'] = None\nimport lipsmith\nprint('adapt' in dir(lipsmith))\nhelp(lipsmith)"
    )
    assert run(program).startswith("False\nHelp on package lipsmith:")


def test_only_public_names_are_offered_for_completion() -> None:
    program = "import lipsmith.live\nprint(*(name for name in dir(lipsmith) if not name.startswith('__')))"
    names = set(run(program).split())
    assert {"Clip", "Dubber", "dub", "errors", "live"} <= names
    assert ("adapt" in names) == (find_spec("torch") is not None)
    assert not names & {"Any", "TYPE_CHECKING", "annotations", "import_module", "modules", "os", "_HOMES"}


def test_what_lacks_an_extra_names_it() -> None:
    modules = ["lipsmith.live.webrtc", "lipsmith.client", "lipsmith.adaptation.job"]
    failed = json.loads(run(WITHOUT_EXTRAS.format(absent={"aiortc", "httpx", "torch"}, modules=modules)))
    assert failed == {
        "lipsmith.live.webrtc": 'WebRTC needs the live extra: pip install ".[live]" in the clone.',
        "lipsmith.client": 'The client needs the serve extra: pip install ".[serve]" in the clone.',
        "lipsmith.adaptation.job": 'Adaptation needs the train extra: pip install ".[train]" in the clone.',
    }


def test_the_linter_forbids_the_whole_train_extra() -> None:
    assert set(EXTRAS["train"]) <= set(CONTRACTS["plain"]["forbidden_modules"])


def test_the_runtime_sends_no_telemetry(tmp_path: Path) -> None:
    """By default, ONNX Runtime keeps an identifier and a queue of reports in the home folder."""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    homes = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    program = "import lipsmith.inference.onnx"
    subprocess.run([sys.executable, "-c", program], env=environment | homes, check=True)
    assert list(tmp_path.iterdir()) == []


def test_import_lipsmith_imports_nothing_heavy() -> None:
    heavy = ["numpy", "av", "cv2", "onnxruntime", "ai_edge_litert", "torch", "tyro", "rich", "pydantic"]
    assert run(f"import lipsmith, sys; print([name for name in {heavy} if name in sys.modules])") == "[]\n"


def test_the_dubber_does_not_import_torch() -> None:
    assert run("import lipsmith, sys; lipsmith.Dubber; print('torch' in sys.modules)") == "False\n"


def test_no_module_is_longer_than_300_lines() -> None:
    modules = Path(lipsmith.__file__).parent.rglob("*.py")
    assert not [str(module) for module in modules if len(module.read_text(encoding="utf-8").splitlines()) > 300]
