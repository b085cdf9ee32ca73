"""Where a runner lives: directories, locks, the socket."""

import os
import socket
import stat
from pathlib import Path

import pytest

from infertui.api.runtime import (
    MAX_SOCKET_PATH,
    Holder,
    Lock,
    bind,
    default_socket_path,
    holder_of,
    make_state_dir,
    new_socket_path,
    prepare_socket_dir,
    queue_lock,
    socket_path,
    state_dir,
    unlink_own,
)
from infertui.errors import InfertuiError, StoreError, UsageError

ME = Holder(os.getpid(), "1", "/run/me.sock", socket.gethostname())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_the_runtime_directory_is_the_named_one_or_the_users(tmp_path: Path) -> None:
    users = tmp_path / "run"
    users.mkdir(mode=0o700)
    named = {"INFERTUI_RUNTIME_DIR": str(tmp_path / "mine"), "XDG_RUNTIME_DIR": str(users)}
    for path in (default_socket_path, new_socket_path):
        assert path(named) == tmp_path / "mine" / "runner.sock"
        assert path({"XDG_RUNTIME_DIR": str(users)}) == users / "infertui" / "runner.sock"


@pytest.mark.parametrize("runtime", [None, "relative", "missing", "open", "of somebody else"])
def test_without_one_nobody_can_know_where_the_socket_will_be(runtime: str | None, tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path / "state")}
    if runtime:
        environ["XDG_RUNTIME_DIR"] = runtime if runtime == "relative" else str(tmp_path / "run")
    if runtime in ("open", "of somebody else"):
        (tmp_path / "run").mkdir(mode=0o755 if runtime == "open" else 0o700)
    if runtime == "of somebody else":
        if os.getuid() != 0:
            pytest.skip("only root can give a directory away")
        os.chown(tmp_path / "run", 4242, 4242)
    # Where a client looks before a runner has noted its place is in a directory of its user's.
    assert default_socket_path(environ) == tmp_path / "state" / "infertui" / "runner.sock"
    made = [new_socket_path(environ), new_socket_path(environ)]
    first, second = made
    try:
        assert first != second
        assert mode(first.parent) == mode(second.parent) == 0o700
        assert new_socket_path(environ, first) == first  # one directory is enough for all lives of a runner
        prepare_socket_dir(first, environ)
        first.parent.chmod(0o755)
        made.append(new_socket_path(environ, first))
        assert made[2] != first
        with pytest.raises(InfertuiError, match="mode 0755"):
            prepare_socket_dir(first, environ)
    finally:
        for path in made:
            path.parent.rmdir()


def test_the_runtime_directory_is_made_for_its_user_alone(tmp_path: Path) -> None:
    environ = {"INFERTUI_RUNTIME_DIR": str(tmp_path / "a" / "b")}
    prepare_socket_dir(default_socket_path(environ), environ)
    assert mode(tmp_path / "a" / "b") == 0o700


def test_a_runtime_directory_that_others_could_tamper_with_is_refused(tmp_path: Path) -> None:
    environ = {"INFERTUI_RUNTIME_DIR": str(tmp_path / "runtime")}
    path = default_socket_path(environ)
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    path.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InfertuiError, match="symbolic link"):
        prepare_socket_dir(path, environ)
    path.parent.unlink()
    path.parent.mkdir()
    path.parent.chmod(0o770)
    with pytest.raises(InfertuiError, match="mode 0770"):
        prepare_socket_dir(path, environ)
    path.parent.chmod(0o700)
    prepare_socket_dir(path, environ)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_a_runtime_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    environ = {"INFERTUI_RUNTIME_DIR": str(tmp_path)}
    os.chown(tmp_path, 4242, 4242)
    with pytest.raises(InfertuiError, match="belongs to user 4242"):
        prepare_socket_dir(default_socket_path(environ), environ)


def test_a_path_that_no_socket_can_have_is_refused_in_words(tmp_path: Path) -> None:
    fits = tmp_path / ("x" * (MAX_SOCKET_PATH - len(str(tmp_path)) - 1))
    prepare_socket_dir(fits, {})
    bind(fits).close()
    with pytest.raises(UsageError, match="108 bytes long"):
        prepare_socket_dir(fits.with_name(fits.name + "x"), {})


def test_the_state_directory_follows_xdg_and_says_when_it_cannot_be_made(tmp_path: Path) -> None:
    assert state_dir({"HOME": "/home/me"}) == Path("/home/me/.local/state/infertui")
    assert state_dir({"HOME": "/home/me", "XDG_STATE_HOME": "not/absolute"}) == Path("/home/me/.local/state/infertui")
    assert mode(make_state_dir({"XDG_STATE_HOME": str(tmp_path)})) == 0o700
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="Not a directory"):
        make_state_dir({"XDG_STATE_HOME": str(tmp_path / "file")})


def test_a_lock_has_one_holder_who_is_known(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert holder_of(path) is None
    with Lock(path) as first, Lock(path) as second:
        assert first.acquire(ME)
        assert holder_of(path) == ME
        assert not second.acquire(Holder(1), settling_s=0)
        first.release()
        assert holder_of(path) is None
        assert second.acquire(Holder(2))
        assert holder_of(path) == Holder(2)


def test_a_lock_whose_file_was_removed_is_taken_anew(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with Lock(path) as old, Lock(path) as new:
        assert old.acquire(ME)
        path.unlink()
        assert new.acquire(Holder(2))
        assert holder_of(path) == Holder(2)


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "lock").symlink_to(victim)
    with pytest.raises(StoreError):
        Lock(tmp_path / "lock").acquire(ME)
    assert victim.read_text() == "precious"


def test_clients_find_a_runner_that_was_started_with_other_variables(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path), "INFERTUI_RUNTIME_DIR": str(tmp_path / "run")}
    make_state_dir(environ)
    with Lock(queue_lock(environ)) as lock:
        lock.acquire(ME)
        assert socket_path(environ) == Path(ME.socket)
        lock.release()
        lock.acquire(Holder(1, "1", "/run/there.sock", "another-host"))
        assert socket_path(environ) == tmp_path / "run" / "runner.sock"
    assert socket_path(environ) == tmp_path / "run" / "runner.sock"


def test_a_socket_is_its_users_alone_whatever_the_umask(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        listening = bind(tmp_path / "socket")
    finally:
        os.umask(mask)
    assert mode(tmp_path / "socket") == 0o600
    listening.close()


def test_a_stale_socket_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    bind(tmp_path / "socket").close()
    listening = bind(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "socket"))
    listening.close()
    (tmp_path / "notes").write_text("keep me")
    with pytest.raises(InfertuiError, match="no socket"):
        bind(tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "keep me"


def test_a_socket_of_another_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    first = bind(path)
    inode = path.lstat().st_ino
    path.rename(tmp_path / "aside")  # so that the inode is not used again
    second = bind(path)
    unlink_own(path, inode)
    assert path.exists()
    unlink_own(path, path.lstat().st_ino)
    assert not path.exists()
    first.close()
    second.close()
