"""The directory behind local files: what it gives, and that it gives nothing else."""

import os
import socket
from pathlib import Path

import pytest

from ignition import Folder, convert
from ignition.butane import FileKind, LocalFileError, TreeEntry


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A folder `files` that is named relative to the working directory, with a secret beside it."""
    (tmp_path / "secret").write_text("hunter2")
    files = tmp_path / "files"
    (files / "tree" / "bin").mkdir(parents=True)
    (files / "tree" / "bin" / "tool").write_bytes(b"#!/bin/sh\n")
    (files / "tree" / "bin" / "tool").chmod(0o755)
    (files / "tree" / "link").symlink_to("bin/tool")
    (files / "motd").write_bytes(b"Welcome\n")
    monkeypatch.chdir(tmp_path)
    return Folder("files")


def refusal(folder: Folder, path: str) -> str:
    with pytest.raises(LocalFileError) as caught:
        folder.read(path)
    return str(caught.value)


def test_files_are_read_by_their_path_in_the_folder(folder: Folder) -> None:
    assert (
        folder.read("motd") == folder.read("/motd") == folder.read("tree/../motd") == folder.read("../files/motd") == b"Welcome\n"
    )


def test_links_within_the_folder_are_followed(folder: Folder) -> None:
    assert folder.read("tree/link") == b"#!/bin/sh\n"


@pytest.mark.parametrize("path", ["../secret", "tree/../../secret", "..", "../files2/motd"])
def test_paths_that_lead_out_are_refused(folder: Folder, path: str) -> None:
    assert refusal(folder, path) == "local file path traverses outside the files directory"


@pytest.mark.parametrize("target", ["../secret", "/etc/hostname", "tree/up/secret"])
def test_links_that_lead_out_are_refused(folder: Folder, target: str) -> None:
    Path("files/tree/up").symlink_to("../..")
    Path("files/out").symlink_to(target)
    assert refusal(folder, "out") == "local file path traverses outside the files directory"


def test_a_folder_may_itself_be_reached_by_a_link(folder: Folder) -> None:
    Path("alias").symlink_to("files")
    assert Folder("alias").read("motd") == b"Welcome\n"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("gone", "open files/gone: no such file or directory"),
        ("motd/x", "open files/motd/x: not a directory"),
        ("tree", "read files/tree: is a directory"),
        ("", "read files: is a directory"),
        ("pipe", "read files/pipe: not a regular file"),
        ("socket", "open files/socket: no such device or address"),
        ("a\0b", "open files/a\0b: invalid argument"),
        ("loop", "open files/loop: too many levels of symbolic links"),
    ],
)
def test_what_is_no_file_has_butanes_message(folder: Folder, path: str, message: str) -> None:
    os.mkfifo("files/pipe")
    Path("files/loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("files/socket")
        assert refusal(folder, path) == message


def test_a_tree_is_listed_in_the_order_of_its_names_and_links_are_not_followed(folder: Folder) -> None:
    os.mkfifo("files/tree/bin/pipe", 0o600)
    (Path("files/tree") / "bin.conf").write_bytes(b"")
    (Path("files/tree") / "bin.conf").chmod(0o600)
    (Path("files/tree") / "out").symlink_to("/etc")
    kinds = [(entry.path, entry.kind, entry.target) for entry in folder.walk("tree")]
    assert kinds == [
        (".", FileKind.DIRECTORY, ""),
        ("bin", FileKind.DIRECTORY, ""),
        ("bin/pipe", FileKind.OTHER, ""),
        ("bin/tool", FileKind.FILE, ""),
        ("bin.conf", FileKind.FILE, ""),
        ("link", FileKind.LINK, "bin/tool"),
        ("out", FileKind.LINK, "/etc"),
    ]
    assert TreeEntry("bin/tool", FileKind.FILE, 0o755) in folder.walk("tree")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("gone", "stat files/gone: no such file or directory"),
        ("motd", "root of tree must be a directory"),
        ("..", "local file path traverses outside the files directory"),
        ("out", "local file path traverses outside the files directory"),
    ],
)
def test_what_is_no_tree_has_butanes_message(folder: Folder, path: str, message: str) -> None:
    Path("files/out").symlink_to("..")
    with pytest.raises(LocalFileError) as caught:
        folder.walk(path)
    assert str(caught.value) == message


def test_a_directory_that_cannot_be_listed_is_an_entry_of_its_own(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)  # root may list everything
    assert folder.walk("tree")[1:] == [TreeEntry(".", FileKind.UNREADABLE, target="open files/tree: permission denied")]
    found = convert("variant: fcos\nversion: 1.7.0\nstorage: {trees: [{local: tree}]}\n", files=folder).messages[0]
    assert found == "error at $.storage.trees.0, line 3 col 19: open files/tree: permission denied"


def test_a_document_embeds_what_the_folder_holds(folder: Folder) -> None:
    document = (
        "variant: fcos\nversion: 1.7.0\nstorage:\n"
        "  files: [{path: /etc/motd, contents: {local: motd}}]\n"
        "  trees: [{local: tree, path: /opt}]\n"
    )
    assert (convert(document, files=folder).output or b"").decode() == (
        '{"ignition":{"version":"3.6.0"},"storage":{"files":['
        '{"path":"/etc/motd","contents":{"compression":"","source":"data:,Welcome%0A"}},'
        '{"path":"/opt/bin/tool","contents":{"compression":"","source":"data:,%23!%2Fbin%2Fsh%0A"},"mode":493}],'
        '"links":[{"path":"/opt/link","target":"bin/tool"}]}}\n'
    )


def test_a_tree_with_what_is_no_file_is_refused_at_its_place(folder: Folder) -> None:
    os.mkfifo("files/tree/pipe")
    converted = convert("variant: fcos\nversion: 1.7.0\nstorage: {trees: [{local: tree}]}\n", files=folder)
    assert converted.messages[0] == (
        "error at $.storage.trees.0, line 3 col 19: trees may only contain files, directories, and symlinks"
    )
