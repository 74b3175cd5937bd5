"""The documents say what is true: their programs run, their commands exist, their tables fit the code."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, ModuleType

import msgspec
import pytest

from tierfold import config, errors, hookspecs, layout
from tierfold.cli import COMMANDS
from tierfold.config import read_config
from tierfold.entities import values
from tierfold.entities.ids import KEY_LIMIT
from tierfold.events import BUFFER_LIMIT
from tierfold.kv.local import PAYLOAD_LIMIT_BYTES
from tierfold.links.link import CONNECT_S, ELSEWHERE_S
from tierfold.links.runner import LEASE_S
from tierfold.records.settling import CONFLICT_LIMIT
from tierfold.where.order_bytes import tag_of
from tierfold_lmdb.options import LmdbOptions

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs/examples"
PAGES = [
    ROOT / "README.md",
    ROOT / "core/README.md",
    *sorted(ROOT.glob("plugins/*/README.md")),
    *sorted(ROOT.glob("docs/*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"\[`(examples/[^`]+)`\]\(\1\)")
LINK = re.compile(r"\]\(([^)#\s]+)?(?:#([^)\s]+))?\)")


def blocks(page: Path, *languages: str) -> Iterator[tuple[int, str]]:
    """(number of the line above it, text) of the fenced blocks in these languages, without those that show a file."""
    text = page.read_text("utf-8")
    for found in FENCE.finditer(text):
        if found[1] in languages and shown_file(text, found.start()) is None:
            yield text.count("\n", 0, found.start(2)), found[2]


def shown_file(text: str, start: int) -> str | None:
    """The file that a block shows: the paragraph above it begins with a link to the file."""
    found = FILE.match(text[:start].rstrip().rpartition("\n\n")[2])
    return found and found[1]


def shown_files(page: Path) -> Iterator[tuple[str, str]]:
    text = page.read_text("utf-8")
    for found in FENCE.finditer(text):
        name = shown_file(text, found.start())
        if name is not None:
            yield name, found[2]


def pages_with(*languages: str) -> list[Path]:
    return [page for page in PAGES if next(blocks(page, *languages), None)]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def table_below(text: str, heading: str) -> list[list[str]]:
    """Cells of the first table behind a heading or any other text."""
    behind = text[text.index(heading) :]
    rows = behind[behind.index("\n\n|") + 2 :].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


# --- programs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", pages_with("python"), ids=named)
def test_programs_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = ModuleType("documented")
    monkeypatch.setitem(sys.modules, "documented", module)
    with asyncio.Runner() as runner:
        for line, source in blocks(page, "python"):
            code = compile("\n" * line + source, page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            program = FunctionType(code, vars(module))
            if code.co_flags & inspect.CO_COROUTINE:  # it awaits at the prompt, as in `python -m asyncio`
                runner.run(program())
            else:
                program()


@pytest.mark.parametrize("page", pages_with("python"), ids=named)
def test_programs_that_await_at_the_prompt_say_so(page: Path) -> None:
    """Saved as a file, they would be a syntax error."""
    prompt = "python -m asyncio" in page.read_text()
    for _, source in blocks(page, "python"):
        compile(source, page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if prompt else 0, dont_inherit=True)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("page", ["concepts", "guide"])
def test_the_examples_can_be_typed_at_a_prompt(page: str, tmp_path: Path) -> None:
    """Line by line, with an empty one behind each example; the prompt repeats nothing but what went wrong."""
    examples = "\n".join(source for _, source in blocks(ROOT / f"docs/{page}.md", "python"))
    prompt = [sys.executable, "-m", "asyncio"]
    done = subprocess.run(prompt, cwd=tmp_path, input=examples + "\n", capture_output=True, text=True, check=True)
    assert "Error" not in done.stderr


@pytest.mark.parametrize(
    "tests",
    ["not any_history", pytest.param("any_history", marks=pytest.mark.slow)],
    ids=["examples", "histories"],
)
@pytest.mark.timeout(300)
def test_the_documented_engine_passes_the_suites(tests: str, tmp_path: Path) -> None:
    """The classes at the end of the page are a test file, with the code above them."""
    programs = [source for _, source in blocks(ROOT / "docs/store-plugin.md", "python")]
    (tmp_path / "test_shelf.py").write_text("\n".join(programs))
    shutil.copy(ROOT / "conftest.py", tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", tests, "test_shelf.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_example_is_shown_by_a_page_as_it_is() -> None:
    """`tests/examples` runs the files themselves."""
    shown = [file for page in ROOT.glob("docs/*.md") for file in shown_files(page)]
    written = {f"examples/{path.relative_to(EXAMPLES)}": path.read_text() for path in EXAMPLES.rglob("*.py")}
    assert sorted(shown) == sorted((name, text) for name, text in written.items() if text)


@pytest.mark.parametrize("page", pages_with("toml"), ids=named)
def test_configuration_files_of_a_page_can_be_read(page: Path, tmp_path: Path) -> None:
    for _, text in blocks(page, "toml"):
        if not {"project", "tool"} & tomllib.loads(text).keys():
            (tmp_path / "tierfold.toml").write_text(text)
            read_config(tmp_path / "tierfold.toml")


# --- commands and references -------------------------------------------------------------------------------------


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def is_known(command: str) -> bool:
    program, _, rest = command.partition(" ")
    words = rest.split()
    if program == "make":
        return set(words) <= targets()
    if program == "tierfold":
        return words[0] in COMMANDS
    if program == "python":
        return (EXAMPLES / words[0]).exists()
    if program == "uvicorn":
        return (EXAMPLES / words[0].replace(":app", ".py")).exists()
    return command.startswith("pip install ") and all((ROOT / word / "pyproject.toml").exists() for word in words[1:])


def commands(page: Path) -> list[str]:
    text = page.read_text("utf-8")
    inline = re.findall(r"`((?:make|tierfold|pip install) [^`=\"]+)`", text)
    fenced = [line for _, block in blocks(page, "sh") for line in block.splitlines() if line]
    return inline + fenced


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_of_a_page_exist(page: Path) -> None:
    assert [command for command in commands(page) if not is_known(command)] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_references_of_a_page_lead_somewhere(page: Path) -> None:
    for target, heading in LINK.findall(page.read_text("utf-8")):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        headings = re.findall(r"^#+ (.+)$", linked.read_text("utf-8"), re.MULTILINE)
        assert not heading or heading in {text.lower().replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_modules_named_by_a_page_exist(page: Path) -> None:
    for dotted in set(re.findall(r"`(tierfold(?:_lmdb)?(?:\.[a-z_]+)+)[.`]", page.read_text("utf-8"))):
        parent, _, name = dotted.rpartition(".")
        assert hasattr(import_module(parent), name) or find_spec(dotted), dotted


def test_blocks_have_a_language_that_is_checked() -> None:
    languages = {found[1] for page in PAGES for found in FENCE.finditer(page.read_text("utf-8"))}
    assert languages <= {"python", "sh", "text", "toml"}


# --- tables ------------------------------------------------------------------------------------------------------


def test_plugin_table_names_every_member() -> None:
    rows = table_below((ROOT / "README.md").read_text(), "## Plugins")
    members = [ROOT / "core", *sorted(ROOT.glob("plugins/*/"))]
    projects = [tomllib.loads((member / "pyproject.toml").read_text())["project"]["name"] for member in members]
    assert [re.findall(r"\[`(.+)`\]", row[0])[0] for row in rows] == projects


def test_command_table_names_every_command() -> None:
    rows = table_below((ROOT / "core/README.md").read_text(), "| `dev`")
    assert sorted(row[0].strip("`") for row in rows) == sorted(f"tierfold {name}" for name in COMMANDS)


def test_target_table_names_every_target() -> None:
    rows = table_below((ROOT / "docs/contributing.md").read_text(), "## Setting up")
    assert {row[0].strip("`").removeprefix("make ") for row in rows} == targets()


def test_map_names_every_module_once() -> None:
    rows = table_below((ROOT / "docs/architecture.md").read_text(), "## Map")
    package = ROOT / "core/src/tierfold"
    modules = [f"{path.parent.name}/" for path in package.glob("*/__init__.py")]
    modules += [path.stem for path in package.glob("*.py") if path.stem != "__init__"]
    assert sorted(name for row in rows for name in re.findall(r"`([\w/]+)`", row[0])) == sorted(modules)


def test_names_that_look_alike_are_modules() -> None:
    rows = table_below((ROOT / "docs/architecture.md").read_text(), "Names that look alike")
    for name in (re.findall(r"`([\w/]+)`", cell)[0] for row in rows for cell in row if cell.startswith("`")):
        assert find_spec("tierfold." + name.strip("/").replace("/", ".")), name


def test_table_of_rings_names_what_the_inner_rings_hold() -> None:
    rows = table_below((ROOT / "docs/architecture.md").read_text(), "## Rings")
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    *_, pure, contract = next(rule["layers"] for rule in rules if rule["type"] == "layers")
    named = [sorted(name.strip("/") for name in re.findall(r"`([\w/]+)`", row[1])) for row in rows[:2]]
    assert named == [sorted(contract.split(" : ")), sorted(pure.split(" : "))]


def test_hook_table_names_every_hook() -> None:
    rows = table_below((ROOT / "docs/store-plugin.md").read_text(), "## The hook")
    hooks = [name for name in hookspecs.__all__ if name.startswith(("provide_", "register_"))]
    assert sorted(row[0].strip("`").partition("(")[0] for row in rows) == sorted(hooks)


def test_suite_table_names_suites_that_exist() -> None:
    rows = table_below((ROOT / "docs/store-plugin.md").read_text(), "## Conformance")
    suites = [pair for row in rows for pair in re.findall(r"`(\w+Suite)` of `([\w.]+)`", row[1])]
    assert len(suites) >= 6
    assert [suite for suite, module in suites if not hasattr(import_module(module), suite)] == []


def test_option_table_of_lmdb_names_every_option() -> None:
    rows = table_below((ROOT / "plugins/lmdb/README.md").read_text(), "Options stand")
    assert [row[0].strip("`") for row in rows] == [field.name for field in msgspec.structs.fields(LmdbOptions)]


def test_error_table_names_every_error() -> None:
    rows = table_below((ROOT / "docs/guide.md").read_text(), "## Errors")
    families = {"StoreError", "PluginError", "TierfoldError"}
    assert {row[0].strip("`") for row in rows} | families == set(errors.__all__)
    transient = [name for name in errors.__all__ if getattr(errors, name).transient]
    assert [row[0].strip("`") for row in rows if "transient" in row[1]] == [
        name for name in (row[0].strip("`") for row in rows) if name in transient
    ]


TABLES_OF_THE_FILE: dict[str, type[msgspec.Struct]] = {
    "The file": config.Config,
    "Tiers": config.Tier,
    "Plugins": config.PluginsConfig,
    "Entities": config.EntityConfig,
}


@pytest.mark.parametrize("heading", TABLES_OF_THE_FILE)
def test_configuration_page_names_every_key(heading: str) -> None:
    rows = table_below((ROOT / "docs/configuration.md").read_text(), f"\n## {heading}\n")
    fields = [field.name for field in msgspec.structs.fields(TABLES_OF_THE_FILE[heading])]
    assert [row[0].strip("`") for row in rows] == fields


def test_the_page_of_limits_gives_the_numbers_of_the_code() -> None:
    text = (ROOT / "docs/guide.md").read_text()
    assert f"| payload of an entity | {PAYLOAD_LIMIT_BYTES // 1024**2} MiB |" in text
    assert f"| logical key | {KEY_LIMIT} characters" in text
    assert f"conflict log | the last {CONFLICT_LIMIT:,} decisions" in text
    assert f"one subscription | {BUFFER_LIMIT:,} |" in text
    assert f"connects nor fails | {CONNECT_S:g} s in all" in text
    assert f"is not connected | {CONNECT_S:g} s;" in text
    assert f"to bring down | {ELSEWHERE_S:g} s;" in text
    assert f"a lease of\n{LEASE_S:g} seconds" in text


def test_format_page_names_every_table_and_its_tag() -> None:
    rows = table_below((ROOT / "docs/format.md").read_text(), "## Tables")
    named = [re.findall(r"^`([0-9a-f]{2})`", row[1])[0] for row in rows]
    tags = {value for value in vars(layout).values() if isinstance(value, bytes) and len(value) == 1}
    assert named == sorted(tag.hex() for tag in tags)


TABLES: dict[str, type[msgspec.Struct]] = {
    "Store": layout.StoreRow,
    "Counters": layout.Counters,
    "Segment": layout.SegmentRow,
    "Partition": layout.PartitionRow,
    "Entity type": layout.TypeRow,
    "Index": layout.IndexRow,
    "Link": layout.LinkRow,
    "Link state": layout.LinkStateRow,
    "Registration": layout.RegistrationRow,
    "Peer": layout.PeerRow,
    "Conflict log": layout.ConflictRow,
}


@pytest.mark.parametrize("heading", TABLES)
def test_format_page_names_every_field_in_its_order(heading: str) -> None:
    rows = table_below((ROOT / "docs/format.md").read_text(), f"\n## {heading}\n")
    fields = [field.name for field in msgspec.structs.fields(TABLES[heading])]
    documented = [name for row in rows for name in row[0].split(", ")]
    assert documented == [re.sub(r"_(ms|s)$", "", name).replace("_", " ") for name in fields]


def test_format_page_gives_the_tag_of_every_type_of_values_in_an_index() -> None:
    rows = table_below((ROOT / "docs/format.md").read_text(), "### Order bytes")
    named = [re.findall(r"^`([0-9a-f]{2})`", row[1])[0] for row in rows]
    assert named == [tag_of(rank).hex() for rank in range(8)]


def test_format_page_gives_the_sizes_of_record_rows() -> None:
    text = (ROOT / "docs/format.md").read_text()
    offsets = [int(row[0]) for row in table_below(text, "The value begins") if row[0].isdigit()]
    sizes = [int(row[1]) for row in table_below(text, "The value begins")]
    assert offsets[-1] + sizes[-1] == layout.LOCAL_SIZE
    content = [int(row[0]) for row in table_below(text, "Then follows the content") if row[0].isdigit()]
    assert (content[0], content[-1]) == (layout.LOCAL_SIZE, layout.ID_START)


def test_value_table_says_what_the_table_in_the_code_says() -> None:
    shown = table_below((ROOT / "docs/entities.md").read_text(), "## Values")
    *_, rows, _ = re.split(r"^=+  =+$", values.__doc__ or "", flags=re.MULTILINE)
    written = [re.split(r" {2,}", row) for row in rows.strip().splitlines()]
    assert [[cell.replace("`", "") for cell in row] for row in shown] == [
        [cell.replace("`", "") for cell in row] for row in written
    ]


def test_performance_page_has_one_place_for_the_figures() -> None:
    text = (ROOT / "docs/performance.md").read_text()
    assert [text.count(mark) for mark in ("<!-- bench:start -->", "<!-- bench:end -->")] == [1, 1]
