"""Files that appear whole or not at all."""

import errno
import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from lenet5_cli import files
from lenet5_cli.errors import LeNet5Error
from lenet5_cli.files import filling, only_writer, replacing
from tests.conftest import named_pipe


def write(path: Path, content: bytes = b"new") -> None:
    with replacing(path) as file:
        file.write(content)


def test_what_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        write(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link"
    link.symlink_to("folder/model.pkl")
    write(link)
    assert link.is_symlink()
    assert (tmp_path / "folder" / "model.pkl").read_bytes() == b"new"


def test_who_may_read_a_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    before = os.umask(0o027)
    write(path)
    os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640  # that of a new one is as the mask has it
    path.chmod(0o600)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.name != "posix", reason="there are no owners")
@pytest.mark.parametrize("root", [True, False])
def test_owner_and_group_of_a_file_stay_where_this_user_may_give_it(
    root: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A model of a group was then readable by that of who went on with its run, and by the former no more."""
    given = []

    def give(file: int, owner: int, group: int) -> None:
        given.append((os.fstat(file).st_ino, owner, group))
        if owner >= 0 and not root:
            raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", give)
    path = tmp_path / "model.pkl"
    write(path)
    before = path.stat()
    write(path)
    owners = [before.st_uid] if root else [before.st_uid, -1]
    assert given == [(path.stat().st_ino, owner, before.st_gid) for owner in owners]


@pytest.mark.skipif(os.name != "posix", reason="there are no owners")
def test_another_users_file_that_cannot_be_replaced_is_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first epoch was lost."""
    path = tmp_path / "model.pkl"
    write(path)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with files.only_writer(path):
        pass
    tmp_path.chmod(0o1777)
    with pytest.raises(LeNet5Error) as refused, files.only_writer(path):
        pass
    there = f"another user's file, which only its owner may replace in {tmp_path}"
    assert str(refused.value) == f"{path}: {there}; write to another file"
    monkeypatch.undo()
    with files.only_writer(path):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["model.pkl"]


def test_a_file_is_written_where_the_disk_syncs_no_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def sync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", sync)
    write(tmp_path / "model.pkl")
    assert (tmp_path / "model.pkl").read_bytes() == b"new"


@pytest.mark.skipif(files.fcntl is None, reason="there are no such locks")
def test_who_writes_the_same_file_waits(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    other = Thread(target=write, args=(path, b"later"))
    with replacing(path) as file:
        file.write(b"first")
        other.start()
        other.join(0.1)
    other.join()
    assert path.read_bytes() == b"later"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(files.fcntl is None, reason="there are no such locks")
def test_on_a_disk_without_locks_files_are_written_and_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    with only_writer(tmp_path / "model.pkl"):
        write(tmp_path / "model.pkl")
    assert (tmp_path / "model.pkl").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["model.pkl"]


@pytest.mark.skipif(files.fcntl is None, reason="there are no such locks")
def test_what_another_user_left_half_written_is_no_hindrance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    part, opened = tmp_path / ".model.pkl.part", os.open
    part.write_bytes(b"half")

    def denied(path: Path, *how: int) -> int:
        if path == part and part.exists():
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *how)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", denied)
        write(tmp_path / "model.pkl")
    assert (tmp_path / "model.pkl").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["model.pkl"]


@pytest.mark.skipif(files.fcntl is None, reason="there are no such locks")
def test_a_folder_that_may_not_be_written_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def denied(path: Path, *_: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    path = tmp_path / "model.pkl"
    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(LeNet5Error) as refused:
        write(path)
    assert str(refused.value) == f"{path}: cannot be written: Permission denied"


def test_an_error_in_a_folder_that_is_filled_names_what_was_to_be_in_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LeNet5Error) as refused, filling(tmp_path / "new\n") as folder:
        write(folder / "images")
    assert str(refused.value) == rf"{tmp_path}/new\n/images: cannot be written: No space left on device"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fails", [False, True])
def test_a_link_to_a_folder_that_is_not_there_yet_is_followed(fails: bool, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("folder")
    with suppress(ZeroDivisionError), filling(link) as folder:
        (folder / "file").write_bytes(b"new")
        1 / (not fails)
    assert link.is_symlink()
    assert [path.name for path in tmp_path.iterdir() if path != link] == ([] if fails else ["folder"])
    assert fails or [path.name for path in (tmp_path / "folder").iterdir()] == ["file"]


@pytest.fixture(params=[True, False], ids=["locks", "no locks"])
def _locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Test on a system that has locks, and on one that has none."""
    if not request.param:
        monkeypatch.setattr(files, "fcntl", None)


@pytest.mark.usefixtures("_locks")
def test_nothing_is_written_through_a_link_in_the_place_of_the_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"kept")
    (tmp_path / ".model.pkl.part").symlink_to("kept")
    write(tmp_path / "model.pkl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "model.pkl"]
    assert (tmp_path / "kept").read_bytes() == b"kept"


@pytest.mark.usefixtures("_locks")
def test_what_a_killed_run_left_is_no_part_of_the_next_file(tmp_path: Path) -> None:
    (tmp_path / ".model.pkl.part").write_bytes(b"longer than new")
    write(tmp_path / "model.pkl")
    assert (tmp_path / "model.pkl").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["model.pkl"]


def test_a_device_or_folder_is_never_replaced(tmp_path: Path) -> None:
    pipe = named_pipe(tmp_path / "pipe")
    for path, there in ((pipe, "not a regular file"), (tmp_path, "a folder")):
        with pytest.raises(LeNet5Error) as refused:
            write(path)
        assert str(refused.value) == f"{path}: {there}; expected a file"
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="files that are open have no names")
def test_a_pipe_without_a_name_is_no_file_to_write() -> None:
    for end in os.pipe():
        with os.fdopen(end), pytest.raises(LeNet5Error) as refused:
            write(Path(f"/proc/self/fd/{end}"))  # what /dev/stdout leads to
        assert str(refused.value) == f"/proc/self/fd/{end}: not a regular file; expected a file"


def test_an_empty_name_is_not_the_current_folder() -> None:
    with pytest.raises(LeNet5Error, match=r"^an empty name; expected a file$"):
        write("")  # type: ignore[arg-type]


def test_a_name_that_no_file_can_have_is_told() -> None:
    for name, shown, reason in (
        ("a\0b", r"a\x00b", "embedded null byte"),
        ("x" * 300, "x" * 300, "File name too long"),
    ):
        with pytest.raises(LeNet5Error) as refused:
            write(Path(name))
        assert str(refused.value) == f"{shown}: cannot be written: {reason}"


@pytest.mark.skipif(files.fcntl is None, reason="there are no such locks")
def test_the_lock_goes_however_a_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    for _ in range(2):
        with only_writer(path):
            assert [path.name for path in tmp_path.iterdir()] == [".model.pkl.lock"]
            with pytest.raises(LeNet5Error, match="another run is writing it"), only_writer(path):
                pass
            with only_writer(tmp_path / "other.pkl"):
                pass
        assert [path.name for path in tmp_path.iterdir()] == []
    with pytest.raises(ZeroDivisionError), only_writer(path):
        1 / 0  # noqa: B018
    assert [path.name for path in tmp_path.iterdir()] == []
    with only_writer(path):
        (tmp_path / ".model.pkl.lock").unlink()  # by a user who clears up


@pytest.mark.skipif(files.fcntl is None, reason="there are no such locks")
def test_who_locks_a_file_may_wait_for_it(tmp_path: Path) -> None:
    path, ended = tmp_path / "model.pkl", []

    def later() -> None:
        with only_writer(path, wait=True):
            ended.append("later")

    other = Thread(target=later)
    with only_writer(path):
        other.start()
        other.join(0.05)
        assert other.is_alive()
        ended.append("first")
    other.join()
    assert ended == ["first", "later"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("locks", [True, False])
def test_a_folder_that_cannot_be_written_is_told_before_the_block(
    locks: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if not locks:
        monkeypatch.setattr(files, "fcntl", None)
    path = tmp_path / "none" / "model.pkl"
    said = re.escape(f"{path}: cannot be written: No such file or directory")
    with pytest.raises(LeNet5Error, match=f"^{said}$"), only_writer(path):
        pytest.fail("the block was entered")


def test_what_a_killed_run_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    locks = [] if files.fcntl is None else [".model.pkl.lock"]
    for name in (".model.pkl.part", *locks):
        (tmp_path / name).touch()
    with only_writer(tmp_path / "model.pkl"):
        assert [path.name for path in tmp_path.iterdir()] == locks
    assert [path.name for path in tmp_path.iterdir()] == []


def test_content_is_on_the_disk_before_it_has_its_name_and_the_name_after(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, synced = tmp_path / "new" / "model.pkl", list[tuple[bool, bool]]()

    def sync(handle: int) -> None:
        there = os.fstat(handle)
        synced.append((stat.S_ISDIR(there.st_mode) or there.st_size == len(b"new"), path.exists()))

    monkeypatch.setattr(os, "fsync", sync)
    with filling(path.parent) as folder:
        (folder / path.name).write_bytes(b"new")
    assert synced == [(True, False), (True, True)]
    synced.clear()
    path.unlink()
    write(path)
    assert synced == [(True, False), (True, True)]


def test_what_is_written_leaves_no_file_open(tmp_path: Path) -> None:
    def unused() -> int:
        os.close(handle := os.dup(0))
        return handle

    first = unused()
    with filling(tmp_path / "folder") as folder, only_writer(tmp_path / "model.pkl"):
        write(folder / "model.pkl")
        second = unused()
        with suppress(LeNet5Error), only_writer(tmp_path / "model.pkl"):  # which is locked
            pass
        assert unused() == second
    with suppress(ZeroDivisionError), replacing(tmp_path / "model.pkl"):
        1 / 0  # noqa: B018
    assert unused() == first


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file is known that cannot be read")
def test_a_file_that_its_disk_cannot_read_is_told() -> None:
    with pytest.raises(LeNet5Error) as refused:
        files.content("/proc/self/mem", 9, "a checkpoint")  # nothing is at its first address
    assert str(refused.value) == "/proc/self/mem: cannot be read: Input/output error; expected a checkpoint"
