"""Downloads from a real server that speaks the hub's protocol, in processes of their own."""

import os
import signal
import socket
from pathlib import Path

import pytest
from support.hub import FakeHub, Puller

from infertui.errors import ModelError, UsageError
from infertui.models.hub.download import pull

MODEL = "acme/tiny"
SNAPSHOT = "hf/hub/models--acme--tiny/snapshots/" + "c0ffee" * 6 + "c0de"
WANTED = {"config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_pull_brings_what_loading_needs_and_nothing_else(hub: FakeHub, puller: Puller, tmp_path: Path) -> None:
    done = puller.command("pull", MODEL)

    assert done.returncode == 0, done.stderr
    snapshot = tmp_path / SNAPSHOT
    assert done.stdout.strip() == str(snapshot)
    assert contents(snapshot) == {name: hub.files[name] for name in WANTED}
    assert set(hub.sent) == WANTED
    assert "100 %" in done.stderr
    assert not list(puller.blobs.glob("*incomplete*"))


def test_a_pulled_model_is_found_offline_and_a_second_pull_sends_nothing(
    hub: FakeHub, puller: Puller, tmp_path: Path
) -> None:
    puller.command("pull", MODEL)
    sent = dict(hub.sent)

    again = puller.command("pull", MODEL)
    shown = puller.command("show", MODEL, "--device", "cpu", HF_HUB_OFFLINE="1")
    listed = puller.command(HF_HUB_OFFLINE="1")

    assert again.returncode == 0
    assert again.stdout.strip() == str(tmp_path / SNAPSHOT)
    assert hub.sent == sent
    assert "4,000,000" in shown.stdout
    assert f"\n{MODEL} " in listed.stdout
    assert "3.00 MiB" in listed.stdout


def test_progress_counts_every_byte_once(hub: FakeHub, puller: Puller) -> None:
    code = "seen = []; pull('acme/tiny', progress=seen.append); print(seen[0]); print(seen[-1])"
    first, last = puller.script(code).stdout.splitlines()

    total = sum(len(hub.files[name]) for name in WANTED)
    assert "done_bytes=0" in first
    assert f"total_bytes={total}" in first
    assert f"done_bytes={total}, total_bytes={total}, resumed_bytes=0" in last
    assert "files_done=4, files_total=4" in last


def test_a_dropped_connection_is_taken_up_where_it_broke(hub: FakeHub, puller: Puller, tmp_path: Path) -> None:
    hub.cut_after, hub.cuts = 1 << 20, 2

    done = puller.command("pull", MODEL)

    assert done.returncode == 0, done.stderr
    first, *later = hub.ranges("model.safetensors")
    assert first == ""
    assert len(later) == 2
    assert all(asked.startswith("bytes=") for asked in later)
    size = len(hub.files["model.safetensors"])
    assert size <= hub.sent["model.safetensors"] < 2 * size
    assert (tmp_path / SNAPSHOT / "model.safetensors").read_bytes() == hub.files["model.safetensors"]


def test_another_process_resumes_what_one_had_to_give_up(hub: FakeHub, puller: Puller, tmp_path: Path) -> None:
    hub.cut_after, hub.cuts = 1 << 20, 1
    failed = puller.script("pull('acme/tiny', attempts=0)")
    partial = next(puller.blobs.glob("*.incomplete")).stat().st_size
    listed = puller.command()
    missing = puller.command("show", MODEL)

    hub.requests.clear()
    done = puller.command("pull", MODEL)

    assert failed.returncode == 1
    assert "connection" in failed.stdout
    assert "resume" in failed.stdout
    assert 0 < partial < len(hub.files["model.safetensors"])
    assert "download unfinished" in listed.stdout
    assert "its download was begun and not finished" in missing.stderr
    assert done.returncode == 0, done.stderr
    assert hub.ranges("model.safetensors") == [f"bytes={partial}-"]
    assert hub.sent["model.safetensors"] < 2 * len(hub.files["model.safetensors"])
    assert "were here before" in done.stderr
    assert (tmp_path / SNAPSHOT / "model.safetensors").read_bytes() == hub.files["model.safetensors"]


def test_ctrl_c_keeps_what_arrived_and_says_how_to_go_on(hub: FakeHub, puller: Puller) -> None:
    hub.stall_after = 1 << 20
    process = puller.start("pull", MODEL)
    puller.wait_for_partial(1 << 20)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "downloading it again resumes" in err
    assert "Traceback" not in err
    assert next(puller.blobs.glob("*.incomplete")).stat().st_size == 1 << 20

    hub.stall_after = None
    hub.requests.clear()
    assert puller.command("pull", MODEL).returncode == 0
    assert hub.ranges("model.safetensors") == [f"bytes={1 << 20}-"]


def test_a_server_that_ignores_ranges_costs_bytes_but_not_correctness(
    hub: FakeHub, puller: Puller, tmp_path: Path
) -> None:
    hub.cut_after, hub.cuts, hub.ignore_ranges = 1 << 20, 1, True
    code = "seen = []; pull('acme/tiny', progress=seen.append); print(seen[-1])"

    last = puller.script(code).stdout

    total = sum(len(hub.files[name]) for name in WANTED)
    assert f"done_bytes={total}, total_bytes={total}, resumed_bytes=0" in last
    assert (tmp_path / SNAPSHOT / "model.safetensors").read_bytes() == hub.files["model.safetensors"]


def test_a_partial_file_that_is_too_long_is_begun_anew(hub: FakeHub, puller: Puller, tmp_path: Path) -> None:
    hub.cut_after, hub.cuts = 1 << 20, 1
    puller.script("pull('acme/tiny', attempts=0)")
    partial = next(puller.blobs.glob("*.incomplete"))
    os.truncate(partial, len(hub.files["model.safetensors"]) + 1)

    assert puller.command("pull", MODEL).returncode == 0
    assert (tmp_path / SNAPSHOT / "model.safetensors").read_bytes() == hub.files["model.safetensors"]


def test_damaged_content_is_refused_and_removed(hub: FakeHub, puller: Puller, tmp_path: Path) -> None:
    hub.corrupt = True

    done = puller.command("pull", MODEL)

    assert done.returncode == 1
    assert "model.safetensors arrived damaged" in done.stderr
    assert not (tmp_path / SNAPSHOT).exists()
    sizes = {path.stat().st_size for path in puller.blobs.iterdir()}
    assert len(hub.files["model.safetensors"]) not in sizes


def test_without_checksums_the_library_itself_downloads(hub: FakeHub, puller: Puller, tmp_path: Path) -> None:
    hub.hide_checksums = True

    done = puller.command("pull", MODEL)

    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / SNAPSHOT) == {name: hub.files[name] for name in WANTED}


def test_bin_files_are_taken_where_there_are_no_safetensors(hub: FakeHub, puller: Puller, tmp_path: Path) -> None:
    del hub.files["model.safetensors"], hub.files["consolidated.safetensors"]

    assert puller.command("pull", MODEL).returncode == 0
    assert set(contents(tmp_path / SNAPSHOT)) == WANTED - {"model.safetensors"} | {"pytorch_model.bin"}


def test_a_repository_of_other_formats_is_refused(hub: FakeHub, puller: Puller) -> None:
    hub.files = {name: content for name, content in hub.files.items() if "gguf" in name or "config" in name}

    done = puller.command("pull", MODEL)

    assert done.returncode == 1
    assert "no weights" in done.stderr
    assert "GGUF" in done.stderr


def test_the_disk_is_measured_first(hub: FakeHub, puller: Puller) -> None:
    hub.announced_size = 40 * 10**9
    code = (
        "import shutil; shutil.disk_usage = lambda _: shutil._ntuple_diskusage(10**12, 10**12, 10**9); "
        "pull('acme/tiny')"
    )

    done = puller.script(code)

    assert done.returncode == 1
    assert "needs 37.3 GiB" in done.stdout
    assert "has 954 MiB free" in done.stdout
    assert "HF_HOME" in done.stdout
    assert "model.safetensors" not in hub.sent


def test_a_full_disk_is_named(puller: Puller) -> None:
    code = "os.pwrite = lambda *_: (_ for _ in ()).throw(OSError(28, 'No space left on device')); pull('acme/tiny')"

    done = puller.script(code)

    assert done.returncode == 1
    assert "the disk is full" in done.stdout


def test_a_second_pull_of_the_same_file_is_told_to_wait(hub: FakeHub, puller: Puller) -> None:
    hub.stall_after = 1 << 20
    process = puller.start("pull", MODEL)
    assert hub.stalled.wait(60)
    second = puller.command("pull", MODEL)
    process.kill()
    process.communicate()

    assert second.returncode == 1
    assert "being downloaded by another process" in second.stderr


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ((404, "RepoNotFound"), ("acme/tiny is not on http://127.0.0.1", "HF_TOKEN")),
        ((401, "RepoNotFound"), ("acme/tiny is not on http://127.0.0.1", "private", "HF_TOKEN")),
        ((401, ""), ("refuses acme/tiny (HTTP 401)", "HF_TOKEN")),
        ((401, "GatedRepo"), ("gated", "Accept its terms at", "HF_TOKEN")),
        ((403, "GatedRepo"), ("gated", "HF_TOKEN")),
        ((403, ""), ("HTTP 403", "HF_TOKEN")),
        ((500, ""), ("HTTP 500", "Try again later")),
    ],
)
def test_refusals_are_explained(hub: FakeHub, puller: Puller, refusal: tuple[int, str], said: tuple[str, ...]) -> None:
    hub.refusal = refusal

    done = puller.command("pull", MODEL)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for part in said:
        assert part in done.stderr


def test_an_unknown_revision_is_named(puller: Puller) -> None:
    done = puller.command("pull", MODEL, "--revision", "v9")

    assert done.returncode == 1
    assert "acme/tiny has no revision v9" in done.stderr


def test_a_commit_can_be_pulled(puller: Puller, tmp_path: Path) -> None:
    done = puller.command("pull", MODEL, "--revision", "c0ffee" * 6 + "c0de")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / SNAPSHOT / "model.safetensors").exists()


def test_the_token_is_sent(hub: FakeHub, puller: Puller) -> None:
    puller.command("pull", MODEL, HF_TOKEN="hf_secret")  # noqa: S106 - not one

    assert hub.tokens == {"Bearer hf_secret"}


def test_a_server_that_is_no_hub_is_named(hub: FakeHub, puller: Puller) -> None:
    hub.html = True

    done = puller.command("pull", MODEL)

    assert done.returncode == 1
    assert "does not answer like a Hugging Face hub" in done.stderr
    assert "HF_ENDPOINT" in done.stderr


def test_no_network_is_said(puller: Puller) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        done = puller.command("pull", MODEL, HF_ENDPOINT=f"http://127.0.0.1:{unused.getsockname()[1]}")

    assert done.returncode == 1
    assert "the connection to http://127.0.0.1" in done.stderr
    assert "network" in done.stderr


def test_offline_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set"):
        pull(MODEL)


@pytest.mark.parametrize("model_id", ["", "a/b/c", "../etc", "a b", "x\x1b]0;y\x07", "synthetic:nano", "/srv/x", "-x"])
def test_ids_that_cannot_be_are_usage_errors(model_id: str) -> None:
    with pytest.raises(UsageError, match="not the id of a model"):
        pull(model_id)


def test_revisions_that_cannot_be_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="revision"):
        pull(MODEL, "../../x")


@pytest.mark.parametrize(
    "environment",
    [
        {"HF_ENDPOINT": "http://me:s3cret@127.0.0.1:9"},
        {"HF_ENDPOINT": "me:s3cret@127.0.0.1:9"},
        {"HF_ENDPOINT": "http://me:s3/cret@127.0.0.1:9"},
        {"HF_ENDPOINT": "http://127.0.0.1:9", "HTTP_PROXY": "http://me:s3cret@127.0.0.1:9"},
        {"HF_ENDPOINT": "https://127.0.0.1:9", "HTTPS_PROXY": "me:s3cret@127.0.0.1:9"},
        {"HF_ENDPOINT": "http://127.0.0.1:9", "ALL_PROXY": "socks5://me:s3cret@127.0.0.1:9"},
    ],
)
def test_no_password_is_printed_whatever_fails(environment: dict[str, str], puller: Puller) -> None:
    done = puller.command("pull", MODEL, **environment)
    assert done.returncode in (1, 2)
    assert "s3" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "HF_ENDPOINT" in done.stderr
