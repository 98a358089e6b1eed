"""Static check of the source: no module can turn data into code."""

import ast
from collections.abc import Iterable, Iterator

import pytest

from tests.support.manifests import ROOT, sources

MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "jsonpickle", "yaml"}
NAMES = {"eval", "exec", "compile", "__import__"}
METHODS = {"torch.load", "numpy.load", "np.load", "pandas.read_pickle", "yaml.load"}
FLAGS = {"trust_remote_code": False, "shell": False, "weights_only": True, "use_safetensors": True}


def unsafe_code(source: str) -> Iterator[str]:
    """Names and flags in this source that could run data as code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from (f"import {name}" for name in names if name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in NAMES | METHODS:
                yield f"{called}()"
            yield from unsafe_flags((keyword.arg, keyword.value) for keyword in node.keywords)
        elif isinstance(node, ast.Dict):
            keys = (key.value if isinstance(key, ast.Constant) else None for key in node.keys)
            yield from unsafe_flags(zip(keys, node.values, strict=True))
        elif isinstance(node, ast.Constant) and node.value in {"pickle", "application/x-python-serialize", "yaml"}:
            yield repr(node.value)


def unsafe_flags(flags: Iterable[tuple[object, ast.expr]]) -> Iterator[str]:
    """Flags that do not have their safe value."""
    for name, value in flags:
        if name in FLAGS and ast.unparse(value) != str(FLAGS[str(name)]):
            yield f"{name}={ast.unparse(value)}"


def test_no_module_can_execute_its_input() -> None:
    unsafe = {str(file.relative_to(ROOT)): list(unsafe_code(file.read_text(encoding="utf-8"))) for file in sources()}
    assert unsafe
    assert {file: code for file, code in unsafe.items() if code} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from marshal import loads",
        "import yaml.loader",
        "torch.load(path)",
        "eval('1')",
        "f(trust_remote_code=True)",
        "f(trust_remote_code=settings.trust)",
        "f(**{'trust_remote_code': True})",
        "subprocess.run(line, shell=True)",
        "app.conf.update(accept_content=['json', 'pickle'])",
    ],
)
def test_the_check_detects_unsafe_code(source: str) -> None:
    assert list(unsafe_code(source))
