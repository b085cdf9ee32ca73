"""The README says what the program does: its table comes from the command it names, its commands exist."""

import re
from pathlib import Path

import pytest
from support.runs import infertui

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_results_is_what_the_command_prints() -> None:
    between = re.search(r"<!-- results:h200 -->\n(.*?)\n<!-- /results:h200 -->", README, re.DOTALL)
    assert between is not None
    printed = infertui("results", "--out", "reports/h200", "--markdown", cwd=ROOT).stdout.strip()
    assert between[1] == printed


@pytest.mark.parametrize("name", ["modes", "quantized", "llamacpp", "tp"])
def test_the_tables_of_engines_are_what_the_command_prints(name: str) -> None:
    marker = f"results:h200-engines:{name}"
    between = re.search(rf"<!-- {marker} -->\n(\| (.*?) \|\n.*?)\n<!-- /{marker} -->", README, re.DOTALL)
    assert between is not None
    columns = ",".join(between[2].split(" | "))
    out = ("--out", "reports/h200-engines", f"labels.table={name}")
    assert between[1] == infertui("results", *out, "--markdown", "--columns", columns, cwd=ROOT).stdout.strip()


@pytest.mark.parametrize("bench", re.findall(r"<!-- bench:(\S+) -->", README))
def test_the_benches_are_what_the_command_prints(bench: str) -> None:
    between = re.search(rf"<!-- bench:{bench} -->\n(.*?)\n<!-- /bench:{bench} -->", README, re.DOTALL)
    assert between is not None
    done = infertui("compare", "--out", "reports/h200-bench", "--bench", bench, "--markdown", cwd=ROOT)
    assert between[1] == done.stdout.strip()


def test_every_command_that_it_shows_is_understood() -> None:
    shown = re.findall(r"^(infertui run [^\n]*?)(?:  .*)?$", README, re.MULTILINE)
    assert len(shown) >= 5
    for line in shown:
        arguments = line.split()[1:]
        if "RUN_ID" in line:
            continue
        done = infertui(*arguments, "--dry-run", cwd=ROOT)
        assert done.returncode == 0, (line, done.stderr)


def test_the_files_that_it_names_exist() -> None:
    for name in re.findall(r"\]\(((?!http)[^)]+)\)|`((?:data|reports/h200|tests)/[\w./-]+)`", README):
        path = next(filter(None, name))
        assert (ROOT / path).exists(), path
