from __future__ import annotations

from pathlib import Path

from fluxbooth.photos.folders import find, left_out


def test_what_lies_beside_the_photos_is_named_by_its_kind(tmp_path: Path) -> None:
    names = (
        "a.png",
        "a.txt",
        "b.AVIF",
        "c.tiff",
        "d.bmp",
        "e.jfif",
        "f.jpe",
        "clip.mov",
        "lonely.txt",
        ".hidden",
        "Thumbs.db",
    )
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "older").mkdir()
    (tmp_path / ".git").mkdir()
    assert [path.name for path in find(tmp_path)] == [
        "a.png",
        "b.AVIF",
        "c.tiff",
        "d.bmp",
        "e.jfif",
        "f.jpe",
    ]
    others, folders, captions = left_out(tmp_path)
    assert others.endswith("files: clip.mov") and "AVIF" in others
    assert folders.endswith("read: older") and captions.endswith("name: lonely.txt")


def test_files_that_were_named_leave_nothing_out_and_many_names_are_counted(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"{number}.mov").touch()
    (tmp_path / "a.png").touch()
    assert left_out([tmp_path / "a.png"]) == []
    assert left_out(tmp_path)[0].endswith("0.mov, 1.mov, 2.mov, 3.mov, 4.mov and 4 more")
