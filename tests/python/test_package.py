# SPDX-License-Identifier: MIT
"""The package as a whole: its stubs, its documentation, what it is linked against."""
import ast
import inspect
import os
import re
import subprocess

import dsm
from conftest import BUILD, TOP

FOLDER = os.path.join(BUILD, "python", "dsm")


def stub_names():
    """{class name or "": names of its members} of the stub, inherited ones included."""
    with open(os.path.join(FOLDER, "__init__.pyi"), encoding="utf-8") as file:
        tree = ast.parse(file.read())
    names, classes = {"": set()}, {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            classes[node.name] = node
            members = {m.name for m in node.body if isinstance(m, (ast.FunctionDef, ast.AsyncFunctionDef))}
            members |= {m.target.id for m in node.body if isinstance(m, ast.AnnAssign)}
            for base in node.bases:
                members |= names.get(getattr(base, "id", "object"), set())
            names[node.name] = members
        elif isinstance(node, (ast.FunctionDef, ast.AnnAssign)):
            names[""].add(node.name if isinstance(node, ast.FunctionDef) else node.target.id)
    return names


def public(thing):
    return {n for n in vars(thing) if not n.startswith("_")} if thing is not object else set()


def test_the_stub_names_what_is_there():
    stub = stub_names()
    classes = {n for n in stub if n and not n.startswith("_")}
    assert classes | stub[""] == set(dsm.__all__) | {"__version__"}
    for name in classes:
        kind = getattr(dsm, name)
        missing = [m for m in stub[name] if not m.startswith("__") and not hasattr(kind, m)]
        assert not missing, f"{name} lacks {missing}"
        ours = [c for c in kind.__mro__ if c.__module__.startswith("dsm")]
        there = set().union(*(public(c) for c in ours)) if ours else set()
        if issubclass(kind, tuple):
            there -= {"n_fields", "n_sequence_fields", "n_unnamed_fields"}
        assert there <= stub[name], f"the stub's {name} lacks {there - stub[name]}"


def test_signatures_are_those_of_the_stub():
    """Of everything that tells its own."""
    with open(os.path.join(FOLDER, "__init__.pyi"), encoding="utf-8") as file:
        tree = ast.parse(file.read())
    checked = 0
    for node in tree.body:
        if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
            continue
        for method in node.body:
            if not isinstance(method, ast.FunctionDef) or method.decorator_list or \
                    method.name.startswith("__") and method.name != "__init__":
                continue
            try:
                signature = inspect.signature(
                    getattr(dsm, node.name) if method.name == "__init__"
                    else getattr(getattr(dsm, node.name), method.name))
            except (ValueError, TypeError):
                continue
            arguments = method.args.posonlyargs + method.args.args + method.args.kwonlyargs
            named = [a.arg for a in arguments if a.arg != "self"]
            there = [p for p in signature.parameters if p not in ("self", "exc", "default")]
            assert there == named, f"{node.name}.{method.name}: {there}, in the stub {named}"
            checked += 1
    assert checked > 60


def test_everything_is_documented():
    for name in dsm.__all__:
        thing = getattr(dsm, name)
        assert thing.__doc__, name
        if isinstance(thing, type) and not issubclass(thing, (tuple, Exception)):
            for member in public(thing):
                assert getattr(thing, member).__doc__, f"{name}.{member}"


def test_only_the_stable_abi_is_used():
    """The headers allow no other; and the file's name promises it to later versions of Python."""
    symbols = subprocess.run(["nm", "-D", "--undefined-only", os.path.join(FOLDER, "_dsm.abi3.so")],
                             check=True, stdout=subprocess.PIPE, text=True).stdout
    allowed = re.compile(r"_PyArg_\w+_SizeT$|_PyObject_Call\w+_SizeT$|_Py_BuildValue_SizeT$|"
                         r"_Py_(Dealloc|TrueStruct|FalseStruct|NoneStruct)$")
    private = [s for s in re.findall(r"\b_Py\w+", symbols) if not allowed.match(s)]
    assert not private


def test_it_does_not_load_ctypes():
    text = subprocess.run(["/usr/bin/python3", "-c", "import sys, dsm; print('ctypes' in sys.modules)"],
                          env=dict(os.environ, PYTHONPATH=os.path.join(BUILD, "python")),
                          check=True, stdout=subprocess.PIPE, text=True).stdout
    assert text == "False\n"


def test_the_readme_begins_with_an_array():
    with open(os.path.join(TOP, "lib", "python", "README.md"), encoding="utf-8") as file:
        text = file.read()
    assert text.splitlines()[0].strip() == 'import dsm; a = dsm.array("dsm:grid", (4096, 4096), "f8")'
    for block in re.findall(r"```python\n(.*?)```", text, re.S):
        compile(block, "README.md", "exec")


def test_all_errors_are_errors():
    kinds = [k for k in vars(dsm).values() if isinstance(k, type) and issubclass(k, Exception)]
    assert len(kinds) == 11 and all(issubclass(k, dsm.Error) for k in kinds)
    assert issubclass(dsm.Error, OSError)
