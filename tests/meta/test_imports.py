"""Imports point down, and the loader stays alone."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = ("wire", "rules", "agent", "collector")
MAY_IMPORT = {
    "wire": {"wire"},
    "rules": {"rules", "wire"},
    "agent": {"agent", "rules", "wire"},
    "collector": {"collector", "rules", "wire"},
}
LOADER = CHECKOUT / "agent" / "kernel" / "loader"
READER = CHECKOUT / "agent" / "audit" / "reader"


def _imported(tree: ast.AST) -> Iterator[str]:
    """Yield the top-level name of everything that a module imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they point"
            assert node.module is not None
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_of_a_package_point_down_only(package: str) -> None:
    """Wire and rules are the ground; agent and collector stand on them and never on each other."""
    ours = {*PACKAGES, "deploy", "tests"}
    wrong = [
        f"{path.relative_to(CHECKOUT)} imports {name}"
        for path in sorted((CHECKOUT / package).rglob("*.py"))
        for name in _imported(ast.parse(path.read_text(encoding="utf-8")))
        if name in ours - MAY_IMPORT[package]
    ]
    assert not wrong, "\n".join(wrong)


def test_the_set_up_imports_nothing_that_is_not_there_yet() -> None:
    """deploy/bootstrap and the test runner run before .venv exists, on the system's Python."""
    allowed = {*sys.stdlib_module_names, "deploy", "tests"}
    paths = [
        *(CHECKOUT / "deploy" / "bootstrap").rglob("*.py"),
        *(CHECKOUT / "tests").glob("[lr]*.py"),
    ]
    assert len(paths) > 5
    wrong = [
        f"{path.relative_to(CHECKOUT)} imports {name}"
        for path in paths
        for name in _imported(ast.parse(path.read_text(encoding="utf-8")))
        if name not in allowed
    ]
    assert not wrong, "\n".join(wrong)


def test_the_loader_is_python_3_9_and_needs_nothing_of_ours_but_bcc() -> None:
    """It runs under whatever Python the distribution builds bcc for."""
    modules = sorted(LOADER.glob("*.py"))
    assert modules, f"{LOADER.relative_to(CHECKOUT)} holds no modules"
    allowed = {*sys.stdlib_module_names, "bcc", *(path.stem for path in modules)}
    foreign = [
        f"{path.relative_to(CHECKOUT)} imports {name}"
        for path in modules
        for name in _imported(ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9)))
        if name not in allowed
    ]
    assert not foreign, "\n".join(foreign)


def test_the_audit_reader_is_python_3_9_and_needs_nothing_of_ours_but_auparse() -> None:
    """It runs under whatever Python the distribution builds auparse for."""
    modules = sorted(READER.glob("*.py"))
    assert len(modules) > 3
    allowed = {*sys.stdlib_module_names, "auparse", *(path.stem for path in modules)}
    foreign = [
        f"{path.relative_to(CHECKOUT)} imports {name}"
        for path in modules
        for name in _imported(ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9)))
        if name not in allowed
    ]
    assert not foreign, "\n".join(foreign)


def test_what_users_copy_is_python_3_9_and_needs_nothing_else() -> None:
    """CI jobs and coding agents carry these files to wherever they run."""
    files = [
        CHECKOUT / "holdfast_ask" / "__init__.py",
        CHECKOUT / "holdfast_why" / "__init__.py",
        *(CHECKOUT / "deploy" / "hooks").glob("*.py"),
    ]
    assert len(files) == 4
    allowed = {*sys.stdlib_module_names, "holdfast_why"}
    foreign = [
        f"{path.relative_to(CHECKOUT)} imports {name}"
        for path in files
        for name in _imported(ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9)))
        if name not in allowed
    ]
    assert not foreign, "\n".join(foreign)


def test_every_bpf_source_names_both_licences() -> None:
    """The kernel asks for the GPL; everything else of Holdfast is under the Apache License."""
    sources = list((CHECKOUT / "agent").rglob("*.[ch]"))
    assert sources
    for path in sources:
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert "SPDX-License-Identifier: GPL-2.0 OR Apache-2.0" in first, path


@pytest.mark.parametrize("package", [*PACKAGES, "deploy/bootstrap", "deploy/tryout"])
def test_every_package_draws_its_errors(package: str) -> None:
    """A reader finds what a package can raise in one place, drawn as a tree at its top."""
    path = CHECKOUT / package / "errors.py"
    assert path.exists(), f"{package} has no errors.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    drawn = ast.get_docstring(tree) or ""
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef) and node.bases]
    missing = [name for name in classes if name not in drawn and not name.startswith("_")]
    assert not missing, f"{package}/errors.py does not draw {missing}"
