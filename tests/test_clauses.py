"""The numbered clauses of the abstract classes and the conformance tests that cite them belong together."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "core" / "src" / "tierfold"
CLAUSE = re.compile(r"\b([A-Z])([1-9][0-9]?)(?:-\1([1-9][0-9]?))?\b")
DEFINITION = re.compile(r"\b([A-Z][1-9][0-9]?):|\(([A-Z][1-9][0-9]?)\)")

Node = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def docstrings(folder: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(place, text) of every docstring of a package's classes and functions."""
    for path in sorted((SOURCE / folder).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, Node) and node.name.startswith(prefix):
                yield f"{path.name}: {node.name}", ast.get_docstring(node) or ""


def clauses(text: str) -> Iterator[str]:
    """Ids named in a text; ``S1-S3`` names three."""
    for letter, first, last in CLAUSE.findall(text):
        yield from (f"{letter}{number}" for number in range(int(first), int(last or first) + 1))


DEFINED = Counter(one or other for _, text in docstrings("abc") for one, other in DEFINITION.findall(text))
TESTS = list(docstrings("testing", "test_"))
CITED = {id for _, text in TESTS for id in clauses(text.partition(":")[0])}


def test_there_are_clauses() -> None:
    assert {id[0] for id in DEFINED} >= {"E", "K", "L", "N", "S"}


def test_every_clause_is_defined_once() -> None:
    assert [id for id, times in DEFINED.items() if times > 1] == []


@pytest.mark.parametrize("letter", sorted({id[0] for id in DEFINED}))
def test_clauses_are_numbered_without_gaps(letter: str) -> None:
    numbers = sorted(int(id[1:]) for id in DEFINED if id[0] == letter)
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_abstract_method_has_a_clause_of_its_own_or_of_its_class() -> None:
    bare = []
    for path in sorted((SOURCE / "abc").glob("*.py")):
        for cls in (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ClassDef)):
            told = ast.get_docstring(cls) or ""
            for method in (node for node in cls.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
                abstract = any(getattr(mark, "id", "") == "abstractmethod" for mark in method.decorator_list)
                named = f"`{method.name}`" in told and DEFINITION.search(told)
                if abstract and not named and not DEFINITION.search(ast.get_docstring(method) or ""):
                    bare.append(f"{path.name}: {cls.name}.{method.name}")
    assert bare == []


def test_every_clause_has_a_conformance_test() -> None:
    assert sorted(set(DEFINED) - CITED) == []


def test_every_cited_clause_exists() -> None:
    wrong = [(place, id) for place, text in TESTS for id in clauses(text.partition(":")[0]) if id not in DEFINED]
    assert wrong == []


def test_every_conformance_test_cites_a_clause() -> None:
    assert [place for place, text in TESTS if not re.match(r"[A-Z][1-9]", text)] == []
