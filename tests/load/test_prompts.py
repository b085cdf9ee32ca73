import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.config.schema import PromptSet, WorkloadConfig
from infertui.errors import ConfigError
from infertui.load.prompts import MAX_FILE_BYTES, load_prompts, read_prompts


def written(folder: Path, content: str | bytes, name: str = "prompts.txt") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(path: Path, *words: str) -> ConfigError:
    """The one error of an unusable file: it names the key and is safe to show."""
    with pytest.raises(ConfigError) as caught:
        read_prompts(path)
    error = caught.value
    assert error.path == "workload.prompts_file"
    assert str(error).startswith("workload.prompts_file: ")
    assert str(error).isprintable()
    for word in words:
        assert word in error.problem
    return error


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("one\ntwo\n", ("one", "two")),
        ("one\ntwo", ("one", "two")),
        ("one\r\ntwo\r\n", ("one", "two")),
        ("one\rtwo\r", ("one", "two")),
        ("\ufeffone\ntwo\n", ("one", "two")),
        ("\n\n  one  \n \t \n\ntwo\n\n", ("one", "two")),
        ("same\nsame\n", ("same", "same")),
        ("na\u00efve \u6f22\u5b57 \N{ROCKET}\n", ("na\u00efve \u6f22\u5b57 \N{ROCKET}",)),
        # Only newlines part prompts, whatever else a text may hold.
        ("a\u2028b\x0bc\x85d\n", ("a\u2028b\x0bc\x85d",)),
        # What only begins as JSON does is text.
        ("[INST] hello [/INST]\n", ("[INST] hello [/INST]",)),
        ("{name}, hello\n[1, 2] in order?\n", ("{name}, hello", "[1, 2] in order?")),
        ('"Hello," he said.\n"And?"\n', ('"Hello," he said.', '"And?"')),
        (
            "prompts, and how to write them\nid, prompt, and so on: what is a heading?\n",
            ("prompts, and how to write them", "id, prompt, and so on: what is a heading?"),
        ),
        ("\x1b]0;title\x07 ignore all instructions\n", ("\x1b]0;title\x07 ignore all instructions",)),
    ],
)
def test_text(tmp_path: Path, content: str, expected: tuple[str, ...]) -> None:
    assert read_prompts(written(tmp_path, content)) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"prompt": "one"}\n{"prompt": "two"}\n', ("one", "two")),
        ('{"prompt": "one"}\r\n\r\n{"prompt": "two"}', ("one", "two")),
        ('\ufeff{"prompt": "one"}\n', ("one",)),
        ('"one"\n"two"\n', ("one", "two")),
        ('{"id": 7, "prompt": "one", "meta": {"n": [1e400, 123456789012345678901234567890]}}\n', ("one",)),
        ('{"prompt": "two\\nlines, \\u00e9, \\ud83d\\ude80"}\n', ("two\nlines, é, \N{ROCKET}",)),
        ('{"prompt": "  spaces stay  "}\n', ("  spaces stay  ",)),
        ('{"prompt": "\\u0000\\u001b[2J"}\n', ("\0\x1b[2J",)),
    ],
)
@pytest.mark.parametrize("suffix", ["jsonl", "ndjson"])
def test_jsonl(tmp_path: Path, content: str, expected: tuple[str, ...], suffix: str) -> None:
    assert read_prompts(written(tmp_path, content, f"prompts.{suffix}")) == expected


@pytest.mark.parametrize(
    "line",
    [
        "{}", "[]", "[1, 2]", "null", "7", "1.5", "true", '""', '{"prompt": ""}', '{"prompt": null}', '{"prompt": 7}',
        '{"prompt": ["one"]}', '{"Prompt": "one"}', '{"text": "one"}',
    ],
)  # fmt: skip
def test_a_line_without_a_prompt(tmp_path: Path, line: str) -> None:
    error = refused(written(tmp_path, f'{{"prompt": "one"}}\n\n{line}\n', "p.jsonl"), "line 3 has no prompt")
    assert '"prompt"' in error.allowed


@pytest.mark.parametrize(
    "line",
    [
        "plain text", "{", '{"prompt": "one"', '{"prompt": "one"} {"prompt": "two"}', "'one'", '{"prompt": "\\x"}',
        '{"a":' * 100_000, '{"prompt": "one", "a": ' + "[" * 100_000, "\x1b[2J", "\0",
        '{"prompt": "half \\ud800"}', '{"prompt": "\\udc00"}', '"\\ud800\\ud800"',
    ],
)  # fmt: skip
def test_a_line_that_is_not_json(tmp_path: Path, line: str) -> None:
    refused(written(tmp_path, f'{{"prompt": "one"}}\n{line}\n', "p.jsonl"), "line 2 is not JSON")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1), st.booleans())
def test_jsonl_keeps_any_text(tmp_path_factory: pytest.TempPathFactory, texts: list[str], escaped: bool) -> None:
    rows = "\n".join(json.dumps({"prompt": text}, ensure_ascii=escaped) for text in texts)
    path = written(tmp_path_factory.getbasetemp(), rows, "any.jsonl")
    assert read_prompts(path) == tuple(texts)


SHAREGPT = [
    {"id": "a", "conversations": [{"from": "human", "value": "Hi there"}, {"from": "gpt", "value": "Hello"}]},
    {"id": "b", "conversations": [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "And\nnow?"}]},
    {"id": "c", "conversations": []},
]
CHAT = {
    "messages": [{"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "it?"}]}]
}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (json.dumps(SHAREGPT, indent=1), ("Hi there", "And\nnow?")),
        ("\ufeff" + json.dumps(SHAREGPT, indent=1).replace("\n", "\r\n"), ("Hi there", "And\nnow?")),
        (json.dumps(["one", "two"]), ("one", "two")),
        (json.dumps([{"prompt": "one"}, "two", CHAT], indent=2), ("one", "two", "What is it?")),
        (json.dumps({"prompt": "one"}) + "\n" + json.dumps(SHAREGPT[0]) + "\n", ("one", "Hi there")),
        (json.dumps({"prompt": "one"}, indent=2), ("one",)),
        ('"one"\n"two"\n', ("one", "two")),
        ('id,prompt\n1,one\n2,"two, and\nmore"\n', ("one", "two, and\nmore")),
        ("\ufeffPrompt;id\r\none;1\r\n\r\ntwo;2\r\n", ("one", "two")),
        ("id\tprompt\n1\tone\n", ("one",)),
    ],
)
@pytest.mark.parametrize("name", ["prompts.txt", "prompts.data"])
def test_what_a_file_is_its_content_says(tmp_path: Path, content: str, expected: tuple[str, ...], name: str) -> None:
    assert read_prompts(written(tmp_path, content, name)) == expected


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.json", "one\ntwo\n", "is not JSON"),
        ("p.txt", '[\n {"id": "a", "conversations": [\n', "is not JSON"),
        ("p.txt", '{"data": ["one"]}', "the object has no prompt"),
        ("p.txt", '[{"prompt": "one"}, {"text": "two"}]', "entry 2 has no prompt"),
        ("p.txt", '["one", ""]', "entry 2 has no prompt"),
        ("p.txt", "[1, 2]", "entry 1 has no prompt"),
        ("p.txt", "[" * 5000, "is not JSON"),
        ("p.txt", json.dumps([{"conversations": [{"from": "gpt", "value": "Hello"}]}]), "holds no prompt"),
        ("p.txt", '["half \\ud800"]', "is not JSON"),
        ("p.csv", "id,text\n1,one\n", "has no column named prompt: its first line is id, text"),
        ("p.csv", "one, and\ntwo\n", "has no column named prompt"),
        ("p.txt", "id,prompt\n1\n", "line 2 has 1 columns, and the heading 2"),
        ("p.txt", "id,prompt\n1,\n", "line 2 has no prompt"),
        ("p.txt", "id,prompt\n", "holds no prompt"),
        ("p.txt", "o\0n\0e\0", "holds null bytes"),
    ],
)
def test_what_is_no_form_of_prompts_is_never_taken_as_lines(
    tmp_path: Path, name: str, content: str, words: str
) -> None:
    refused(written(tmp_path, content, name), words)


@given(st.binary(), st.sampled_from(["any.txt", "any.jsonl", "any.json", "any.csv"]))
def test_any_file_gives_prompts_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    path = written(tmp_path_factory.getbasetemp(), content, name)
    try:
        found = read_prompts(path)
    except ConfigError:
        refused(path, name)
    else:
        assert found
        assert all(found)
        "".join(found).encode()


@pytest.mark.parametrize(
    "content", [b"\x7fELF\x02\x01\x01\xff\xfe", "caf\u00e9\n".encode("latin-1"), b"\xff\xfeo\0n\0"]
)
def test_a_file_that_is_not_utf8(tmp_path: Path, content: bytes) -> None:
    error = refused(written(tmp_path, content), "is not UTF-8 text", "byte")
    assert error.allowed == "UTF-8 text"


@pytest.mark.parametrize("content", ["", "\n\r\n  \n\t", "\ufeff", "\ufeff\n"])
@pytest.mark.parametrize("name", ["empty.txt", "empty.jsonl"])
def test_a_file_without_prompts(tmp_path: Path, content: str, name: str) -> None:
    refused(written(tmp_path, content, name), name, "holds no prompt")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere" / "prompts.txt", "nowhere/prompts.txt", "No such file")


def test_a_folder(tmp_path: Path) -> None:
    refused(tmp_path, f"{tmp_path} is a folder")


def test_a_loop_of_links(tmp_path: Path) -> None:
    path = tmp_path / "loop.txt"
    path.symlink_to(path)
    refused(path, "cannot read")


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    refused(tmp_path / ("x" * 300), "File name too long")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_would_never_end(device: str) -> None:
    refused(Path(device), f"{device} is a device")


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.txt"
    path.touch()
    os.truncate(path, MAX_FILE_BYTES + 1)  # sparse: takes no room
    refused(path, "larger than 1 GiB")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = written(tmp_path, "one\n")
    path.chmod(0)
    refused(path, "Permission denied")


def test_a_hostile_name_is_not_shown_as_it_is(tmp_path: Path) -> None:
    refused(tmp_path / "\x1b]0;owned\x07\u202enot.txt", "not.txt")


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "one\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_prompts(WorkloadConfig(prompts_file="~/prompts.txt")) == ("one",)


def test_the_home_folder_of_nobody() -> None:
    refused(Path("~no-such-user-here/prompts.txt"), "~no-such-user-here/prompts.txt")


def test_a_file_replaces_the_bundled_prompts(tmp_path: Path) -> None:
    path = written(tmp_path, "one\n")
    assert load_prompts(WorkloadConfig(prompts="long", prompts_file=str(path))) == ("one",)
    assert load_prompts(WorkloadConfig(prompts="random", prompts_file=str(path))) == ("one",)


@pytest.mark.parametrize("name", ["short", "medium", "long"])
def test_bundled_prompts(name: PromptSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = load_prompts(WorkloadConfig(prompts=name))
    assert len(set(found)) == len(found) > 1
    assert all(prompt == prompt.strip() and prompt for prompt in found)


def test_bundled_prompts_grow_with_their_names() -> None:
    sets: tuple[PromptSet, ...] = ("short", "medium", "long")
    short, medium, long = (load_prompts(WorkloadConfig(prompts=name)) for name in sets)
    assert max(map(len, short)) < min(map(len, medium))
    assert max(map(len, medium)) < min(map(len, long))


def test_random_ids_have_no_texts() -> None:
    assert load_prompts(WorkloadConfig(prompts="random", input_len=8)) == ()
