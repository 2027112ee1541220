from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageDraw, ImageFilter
from pillow_heif import register_heif_opener

from fluxbooth.errors import FluxboothError, InputError
from fluxbooth.photos import decoder
from fluxbooth.photos.buckets import bucket, crop_box, fit
from fluxbooth.photos.faults import BLURRED, sharpness
from fluxbooth.photos.inspection import (
    Photo,
    find,
    inspect,
    look,
    near_duplicates,
    read,
)
from tests.support.hostile import slow_jpeg, slow_png

RED, GREEN, BLUE, WHITE = (230, 20, 20), (20, 200, 20), (20, 20, 230), (255, 255, 255)


def corners(width: int = 60, height: int = 40) -> Image.Image:
    """Top left red, top right green, bottom left blue, bottom right white."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(GREEN, (width // 2, 0, width, height // 2))
    picture.paste(BLUE, (0, height // 2, width // 2, height))
    picture.paste(WHITE, (width // 2, height // 2, width, height))
    return picture


def corner_colours(pixels: np.ndarray) -> list[tuple[int, ...]]:
    h, w = pixels.shape[:2]
    places = [
        (h // 4, w // 4),
        (h // 4, 3 * w // 4),
        (3 * h // 4, w // 4),
        (3 * h // 4, 3 * w // 4),
    ]
    return [tuple(int(v) for v in pixels[place]) for place in places]


def near(pixels: np.ndarray, colour: tuple[int, int, int], tolerance: int = 6) -> bool:
    return bool((np.abs(pixels.astype(int) - colour) <= tolerance).all())


def one(path: Path, **options: int) -> Photo:
    (photo,) = read(path, **options)
    assert photo.pixels.dtype == np.uint8 and photo.pixels.shape[2] == 3
    return photo


def refusal(*paths: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(paths)
    assert "remove or replace" in str(caught.value)
    return str(caught.value)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_claims(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = png_chunk(b"IDAT", zlib.compress(b"\0" * 64)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + body


def photo_of(picture: Image.Image, name: str = "a.png", caption: str | None = None) -> Photo:
    return Photo(
        Path(name), np.asarray(picture.convert("RGB")), picture.width, picture.height, caption
    )


def resaved(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def textured(size: int = 512, seed: int = 0) -> Image.Image:
    """A photo's stand-in: a gradient with texture at all scales (1/f noise) and a few sharp
    objects."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None])
    frequency[0, 0] = 1
    noise = np.fft.ifft2(np.fft.fft2(rng.normal(size=(size, size))) / frequency**1.2).real
    grey = 60 + 90 * np.linspace(0, 1, size)[None] + 25 * noise / noise.std()
    picture = Image.fromarray(grey.clip(0, 255).astype(np.uint8)).convert("RGB")
    draw = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y = rng.integers(0, size, 2).tolist()
        draw.ellipse(
            (x, y, x + size // 8, y + size // 10), fill=tuple(rng.integers(0, 255, 3).tolist())
        )
    return picture


def cartoon(
    background: tuple[int, int, int], at: tuple[float, float], tilt: int = 0, size: int = 128
) -> Image.Image:
    """A flat-coloured face; `at` is its centre as a fraction, `tilt` in degrees."""
    big = Image.new("RGBA", (512, 512))
    draw = ImageDraw.Draw(big)
    draw.ellipse((136, 100, 376, 400), fill=(250, 205, 160))
    draw.pieslice((126, 70, 386, 330), 180, 360, fill=(120, 50, 20))
    draw.ellipse((190, 220, 220, 250), fill=(20, 20, 20))
    draw.ellipse((290, 220, 320, 250), fill=(20, 20, 20))
    draw.chord((206, 280, 306, 350), 0, 180, fill=(190, 30, 40))
    face = big.rotate(tilt, Image.Resampling.BICUBIC)
    picture = Image.new("RGB", (512, 512), background)
    picture.paste(face, (int(512 * at[0]) - 256, int(512 * at[1]) - 256), face)
    return picture.resize((size, size), Image.Resampling.LANCZOS)


# find


def test_a_folder_gives_its_pictures_by_name(tmp_path: Path) -> None:
    for name in [
        "b.JPG",
        "a.png",
        "c.heic",
        "d.webp",
        "e.Jpeg",
        "f.heif",
        ".hidden.png",
        ".DS_Store",
        "a.txt",
        "g.gif",
    ]:
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in find(tmp_path)] == [
        "a.png",
        "b.JPG",
        "c.heic",
        "d.webp",
        "e.Jpeg",
        "f.heif",
    ]
    assert find(str(tmp_path)) == find(tmp_path)


def test_named_files_are_taken_with_any_suffix_in_order_and_once(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    odd, picture = tmp_path / "scan.bin", inside / "a.png"
    odd.touch()
    picture.touch()
    assert find([odd, str(inside), picture]) == [odd, picture]


def test_what_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.*check the path"):
        find(tmp_path / "nowhere")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        InputError, match=rf"{tmp_path.name}.*JPEG, PNG, WebP, AVIF, TIFF, BMP or HEIC"
    ):
        find(tmp_path)
    with pytest.raises(InputError, match="No photos"):
        find([])
    with pytest.raises(InputError, match="neither"):
        find("/dev/null")


# read: what must be right in the pixels


@pytest.mark.parametrize(
    "suffix", ["png", "webp", "jpg", "jpe", "jfif", "avif", "tif", "tiff", "bmp", "heic"]
)
def test_plain_formats_keep_size_and_colours(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    register_heif_opener()
    corners().save(path, quality=95)
    photo = one(path)
    assert (photo.width, photo.height) == (60, 40) and photo.pixels.shape == (40, 60, 3)
    for got, wanted in zip(corner_colours(photo.pixels), [RED, GREEN, BLUE, WHITE], strict=True):
        assert near(np.array(got), wanted, 12)
    assert photo.pixels.flags.writeable  # torch.from_numpy wants that


@pytest.mark.parametrize(
    ("orientation", "wanted"),
    [
        (1, [RED, GREEN, BLUE, WHITE]),
        (2, [GREEN, RED, WHITE, BLUE]),
        (3, [WHITE, BLUE, GREEN, RED]),
        (6, [BLUE, RED, WHITE, GREEN]),  # the camera was held so that its left side was up
        (8, [GREEN, WHITE, RED, BLUE]),
    ],
)
def test_exif_orientation_is_applied(
    tmp_path: Path, orientation: int, wanted: list[tuple[int, ...]]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    corners().save(tmp_path / "a.png", exif=exif)
    photo = one(tmp_path / "a.png")
    assert corner_colours(photo.pixels) == wanted
    assert (photo.width, photo.height) == ((40, 60) if orientation >= 5 else (60, 40))
    assert photo.pixels.shape[:2] == (photo.height, photo.width)


def test_orientation_and_reduction_of_a_jpeg_agree_on_the_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    corners(1200, 800).save(tmp_path / "a.jpg", exif=exif, quality=95)
    photo = one(tmp_path / "a.jpg", max_pixels=60 * 40)
    assert (photo.width, photo.height) == (800, 1200)
    assert photo.pixels.shape == (60, 40, 3)
    assert near(np.array(corner_colours(photo.pixels)[1]), RED, 12)


def test_broken_exif_is_ignored(tmp_path: Path) -> None:
    corners().save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12garbage")
    assert one(tmp_path / "a.jpg").pixels.shape == (40, 60, 3)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    Image.new("CMYK", (32, 32), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    assert near(one(tmp_path / "a.jpg").pixels, (255, 0, 0), 12)


def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)
    Image.fromarray(np.tile(ramp, (16, 1))).save(tmp_path / "a.png")
    row = one(tmp_path / "a.png").pixels[4, :, 0].astype(int)
    assert np.abs(row - np.arange(256)).max() <= 1


@pytest.mark.parametrize(
    ("colour_type", "values"), [(2, (65535, 32768, 0)), (6, (65535, 32768, 0, 65535))]
)
def test_16_bit_colour_is_scaled(tmp_path: Path, colour_type: int, values: tuple[int, ...]) -> None:
    head = struct.pack(">IIBBBBB", 16, 16, 16, colour_type, 0, 0, 0)
    row = zlib.compress(16 * (b"\0" + 16 * struct.pack(f">{len(values)}H", *values)))
    chunks = png_chunk(b"IHDR", head) + png_chunk(b"IDAT", row) + png_chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    assert near(one(tmp_path / "a.png").pixels, (255, 128, 0), 1)


def test_transparency_becomes_white(tmp_path: Path) -> None:
    palette = Image.new("P", (20, 20), 1)
    palette.putpalette([0, 0, 0, *RED])
    palette.paste(0, (0, 0, 10, 20))
    palette.save(tmp_path / "palette.png", transparency=0)
    Image.new("RGBA", (20, 20), (0, 0, 0, 128)).save(tmp_path / "half.png")
    Image.new("LA", (20, 20), (40, 0)).save(tmp_path / "grey.png")
    palette, half, grey = read([tmp_path / n for n in ("palette.png", "half.png", "grey.png")])
    assert near(palette.pixels[:, :10], WHITE, 0) and near(palette.pixels[:, 10:], RED, 0)
    assert near(half.pixels, (127, 127, 127), 1)
    assert near(grey.pixels, WHITE, 0)


@pytest.mark.parametrize(
    ("mode", "colour", "wanted"), [("L", 77, (77,) * 3), ("1", 1, WHITE), ("P", 0, RED)]
)
def test_grey_bits_and_palette(
    tmp_path: Path, mode: str, colour: int, wanted: tuple[int, int, int]
) -> None:
    picture = Image.new(mode, (16, 16), colour)
    if mode == "P":
        picture.putpalette(RED)
    picture.save(tmp_path / "a.png")
    assert near(one(tmp_path / "a.png").pixels, wanted, 0)


def swapped_profile() -> bytes:
    """sRGB with the red and green colorants exchanged: what the file calls red is green."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {
        bytes(profile[i : i + 4]): i
        for i in range(132, 132 + 12 * struct.unpack(">I", profile[128:132])[0], 12)
    }
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


def test_icc_profile_is_applied(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (255, 0, 0)).save(tmp_path / "a.png", icc_profile=swapped_profile())
    Image.new("RGBA", (16, 16), (255, 0, 0, 255)).save(
        tmp_path / "b.png", icc_profile=swapped_profile()
    )
    Image.new("L", (16, 16), 90).save(tmp_path / "c.png", icc_profile=swapped_profile())
    opaque, alpha, grey = read(tmp_path)
    assert near(opaque.pixels, (0, 255, 0), 3) and near(alpha.pixels, (0, 255, 0), 3)
    assert near(grey.pixels, (90, 90, 90), 3)


def test_broken_or_unfit_icc_profile_is_ignored(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), RED).save(tmp_path / "a.png", icc_profile=b"not a profile at all")
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(
        tmp_path / "b.jpg", icc_profile=swapped_profile(), quality=95
    )
    broken, unfit = read(tmp_path)
    assert near(broken.pixels, RED, 0)
    assert near(unfit.pixels, (255, 0, 0), 12)


def test_first_frame_of_animations(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (24, 24), c) for c in (RED, GREEN, BLUE)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    frames[0].save(tmp_path / "b.png", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "c.jpg", "MPO", save_all=True, append_images=frames[1:], quality=95)
    for photo in read(tmp_path):
        assert near(photo.pixels, RED), photo.path


def test_large_pictures_are_scaled_to_the_area(tmp_path: Path) -> None:
    corners(300, 100).save(tmp_path / "a.png")
    photo = one(tmp_path / "a.png", max_pixels=7500)
    assert photo.pixels.shape == (50, 150, 3) and (photo.width, photo.height) == (300, 100)


def test_a_102_megapixel_jpeg_passes_within_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoded in full it would take 413 MB; the child here may have 150 MB."""
    tile = Image.effect_noise((800, 860), 6).convert("RGB")
    big = Image.new("RGB", (12000, 8600))
    for x in range(0, 12000, 800):
        for y in range(0, 8600, 860):
            big.paste(tile, (x, y))
    big.save(tmp_path / "camera.jpg", quality=50)
    monkeypatch.setattr(decoder, "_CHILD", f"import {CHILD}; p.MEMORY = 150 * 2**20; p._serve()")
    photo = one(tmp_path / "camera.jpg")
    assert (photo.width, photo.height) == (12000, 8600)
    assert 4_100_000 < photo.pixels.shape[0] * photo.pixels.shape[1] <= 4_194_304


# read: what must be refused, with its reason


def test_each_unreadable_picture_is_named_with_its_reason(tmp_path: Path) -> None:
    whole = io.BytesIO()
    textured(128).save(whole, "JPEG")
    half = whole.getvalue()[: len(whole.getvalue()) // 2]
    gif = io.BytesIO()
    corners().save(gif, "GIF")
    contents = {
        "cut.jpg": half,
        "text.jpg": b"Dear diary",
        "empty.png": b"",
        "drawing.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "paper.jpg": b"%PDF-1.7\n",
        "moving.webp": gif.getvalue(),
        "giant.png": png_that_claims(60000, 60000),
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    corners().save(tmp_path / "fine.png")
    message = refusal(tmp_path)
    assert "cut.jpg (it is cut off or damaged)" in message
    assert "empty.png (the file is empty)" in message
    assert "giant.png (it has 60000 x 60000 pixels" in message
    for name in ("text.jpg", "drawing.png", "paper.jpg", "moving.webp"):
        assert f"{name} (it is not a JPEG" in message
    assert "fine.png" not in message


def test_a_cut_off_png_and_webp_are_refused(tmp_path: Path) -> None:
    for suffix in ("png", "webp"):
        textured(64).save(tmp_path / f"a.{suffix}")
        data = (tmp_path / f"a.{suffix}").read_bytes()
        (tmp_path / f"a.{suffix}").write_bytes(data[: len(data) * 2 // 3])
    message = refusal(tmp_path)
    assert "a.png (it is cut off" in message and "a.webp (" in message


def test_pixel_limits_differ_for_jpeg(tmp_path: Path) -> None:
    """9000 x 8000 is above 64 and below 150 million."""
    (tmp_path / "a.png").write_bytes(png_that_claims(9000, 8000))
    assert "9000 x 8000 pixels, more than the 64 million" in refusal(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(png_that_claims(8000, 8000))
    assert "pixels" not in refusal(tmp_path / "b.png")
    jpeg = io.BytesIO()
    corners(16, 16).save(jpeg, "JPEG")
    at = jpeg.getvalue().index(b"\xff\xc0") + 5
    for name, width, height in (("c.jpg", 13000, 12000), ("d.jpg", 12000, 12000)):
        size = struct.pack(">HH", height, width)
        (tmp_path / name).write_bytes(jpeg.getvalue()[:at] + size + jpeg.getvalue()[at + 4 :])
    message = refusal(tmp_path / "c.jpg", tmp_path / "d.jpg")
    assert "13000 x 12000 pixels, more than the 150 million" in message
    assert "12000 x 12000 pixels" not in message


def test_heic_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        decoder, "_CHILD", f"import {CHILD}; p._has_heif = lambda: False; p._serve()"
    )
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypmif1" + b"\0" * 40)
    (tmp_path / "b.jpg").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 40)
    assert refusal(tmp_path).count("install fluxbooth[heif]") == 2


def test_names_in_messages_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "bad\x1b[2J\nname\u202egpj.jpg").write_bytes(b"x")
    message = refusal(tmp_path)
    assert "bad\\x1b[2J\\nname\\u202egpj.jpg" in message and "\x1b" not in message


def test_a_sliver_is_refused(tmp_path: Path) -> None:
    Image.new("L", (12_000, 17)).save(tmp_path / "a.png")
    Image.new("L", (800, 16)).save(tmp_path / "b.png")
    message = refusal(tmp_path)
    assert (
        "12000 x 17 pixels, and its longer side may be at most 50 times the smaller one" in message
        and "b.png" not in message
    )


def test_tiffs_of_numbers_are_refused_and_others_are_read_upright_and_of_their_first_frame(
    tmp_path: Path,
) -> None:
    for mode in ("I", "F"):
        Image.new("L", (20, 20), 90).convert(mode).save(tmp_path / f"{mode}.tif")
    assert refusal(tmp_path).count("32-bit numbers: save it with 8 or 16 bits") == 2
    frames = [corners(), Image.new("RGB", (60, 40), BLUE)]
    frames[0].save(tmp_path / "first.tif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "turned.tif", tiffinfo={0x0112: 6}, compression="tiff_lzw")
    first, turned = read([tmp_path / "first.tif", tmp_path / "turned.tif"])
    assert corner_colours(first.pixels) == [RED, GREEN, BLUE, WHITE]
    assert corner_colours(turned.pixels) == [BLUE, RED, WHITE, GREEN] and (
        turned.width,
        turned.height,
    ) == (40, 60)


# read: the child

CHILD = "fluxbooth.photos.decoder as p"
FAULTY = (
    f"import itertools, os, signal, {CHILD}; real = p._decode; p.PROCESSOR_SECONDS = 1\n"
    "faults = dict(crash=os.abort, hang=signal.pause)\n"
    "faults.update(busy=lambda: all(itertools.repeat(1)))\n"
    "faults.update(hungry=lambda: bytearray(4 * 2**30), chatty=lambda: os.write(1, b'hi'))\n"
    "def decode(path, *how):\n    faults.get(path.stem, int)()\n    return real(path, *how)\n"
    "p._decode = decode; p._serve()"
)


def test_a_picture_that_kills_the_child_is_named_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "crash", "hang", "hungry", "z"):
        corners().save(tmp_path / f"{name}.png")
    (tmp_path / "zz.png").write_bytes(b"x")
    monkeypatch.setattr(decoder, "_CHILD", FAULTY)
    monkeypatch.setattr(decoder, "SECONDS", 4.0)
    message = refusal(tmp_path)
    assert "crash.png (decoding it crashes)" in message
    assert "hang.png (it takes longer than 4 s to decode)" in message
    assert "hungry.png (decoding it takes too much memory)" in message
    assert "zz.png (it is not" in message
    assert "a.png" not in message and " z.png" not in message


def test_a_picture_that_takes_the_processor_for_too_long_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "busy", "z"):
        corners().save(tmp_path / f"{name}.png")
    monkeypatch.setattr(decoder, "_CHILD", FAULTY)
    monkeypatch.setattr(decoder, "PROCESSOR_SECONDS", 1)
    assert (
        refusal(tmp_path)
        == "Cannot read busy.png (it takes longer than 1 s to decode): remove or replace it."
    )


def test_looking_stops_after_the_picture_with_which_the_time_is_over(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path in paths:
        corners().save(path)
    (tmp_path / "b.png").write_bytes(b"x")
    reasons, spent = look(paths, seconds=1e-9)
    assert reasons == [None] and spent > 0
    reasons, _ = look(paths, seconds=60)
    assert [bool(reason) for reason in reasons] == [False, True, False]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (slow_jpeg(101, side=64), "more than the 100 scans"),
        (b"\xff\xd8\xff\xfe\0\4<>" + slow_jpeg(101, side=64)[2:], "more than the 100 scans"),
        (
            slow_jpeg(101, side=64).replace(b"\xff\xda", b"\xff\xff\xff\xda"),
            "more than the 100 scans",
        ),
        (
            b"\xff\xd8" + b"\xff\xfe\0\2" * 10_001 + slow_jpeg(1, side=64)[2:],
            "more than the 10,000 segments",
        ),
        (slow_png(20_000), "more than the 20,000 chunks"),
    ],
    ids=["scans", "scans behind a comment", "scans behind fill bytes", "segments", "chunks"],
)
def test_a_small_file_of_many_pieces_is_refused_before_it_is_decoded(
    tmp_path: Path, data: bytes, said: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    assert said in refusal(tmp_path / "a.jpg")


def test_pieces_of_what_lies_behind_or_inside_a_picture_do_not_count(tmp_path: Path) -> None:
    """A phone puts a small picture into a segment, and films behind the end; entropy-coded
    bytes are no markers."""
    picture = slow_jpeg(100, side=64)
    (tmp_path / "a.jpg").write_bytes(picture + b"\xff\xda\0\2" * 200)
    (tmp_path / "b.jpg").write_bytes(
        picture[:2] + b"\xff\xe1\3\x22" + b"\xff\xda\0\2" * 200 + picture[2:]
    )
    for name in ("a.jpg", "b.jpg"):
        assert one(tmp_path / name).width == 64
    buffer = io.BytesIO()
    textured().save(buffer, "JPEG", quality=95, progressive=True)
    (tmp_path / "c.jpg").write_bytes(buffer.getvalue())
    assert one(tmp_path / "c.jpg").width == 512


def test_a_library_that_prints_does_not_garble_the_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corners().save(tmp_path / "chatty.png")
    monkeypatch.setattr(decoder, "_CHILD", FAULTY)
    assert near(one(tmp_path / "chatty.png").pixels, RED, 255)
    assert corner_colours(one(tmp_path / "chatty.png").pixels) == [RED, GREEN, BLUE, WHITE]


def test_a_child_that_does_not_start_blames_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corners().save(tmp_path / "a.png")
    monkeypatch.setattr(decoder, "_CHILD", "import no_such_module")
    with pytest.raises(FluxboothError, match=r"did not start.*no_such_module") as caught:
        read(tmp_path)
    assert not isinstance(caught.value, InputError)


def test_the_callers_process_keeps_its_limits(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    corners().save(tmp_path / "a.png")
    read(tmp_path)
    assert before == Image.MAX_IMAGE_PIXELS is not None


# captions


def test_captions_beside_the_pictures(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        corners().save(tmp_path / f"{name}.png")
    (tmp_path / "a.txt").write_text("  a photo of ohwx, élan \n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("with a mark", encoding="utf-8-sig")
    (tmp_path / "c.txt").write_text(" \n")
    assert [p.caption for p in read(tmp_path)] == [
        "a photo of ohwx, élan",
        "with a mark",
        None,
        None,
    ]
    (tmp_path / "d.txt").write_bytes("é".encode("latin-1"))
    with pytest.raises(InputError, match=r"d\.txt is not UTF-8"):
        read(tmp_path)


# looking


@pytest.mark.parametrize("size", [256, 512, 1024])
def test_blur_is_seen_in_textured_photos(size: int) -> None:
    sharp = textured(size)
    blurred = sharp.filter(ImageFilter.GaussianBlur(4 * size / 512))
    assert sharpness(np.asarray(sharp)) > 1.4 * BLURRED
    assert sharpness(np.asarray(resaved(sharp, 40))) > 1.4 * BLURRED
    assert sharpness(np.asarray(blurred)) < 0.8 * BLURRED


def test_cartoons_are_not_blurred_until_they_are() -> None:
    drawing = cartoon((90, 160, 240), (0.5, 0.5))
    assert sharpness(np.asarray(drawing)) > 1.3 * BLURRED
    assert sharpness(np.asarray(drawing.filter(ImageFilter.GaussianBlur(4)))) < 0.6 * BLURRED


def test_sharpness_depends_little_on_resolution_contrast_and_a_soft_background() -> None:
    picture = textured(1024)
    value = sharpness(np.asarray(picture))
    assert sharpness(
        np.asarray(picture.resize((512, 512), Image.Resampling.LANCZOS))
    ) == pytest.approx(value, rel=0.15)
    assert sharpness(
        np.asarray(picture.point([100 + v // 4 for v in range(256)] * 3))
    ) == pytest.approx(value, rel=0.15)
    portrait = picture.filter(ImageFilter.GaussianBlur(12))
    portrait.paste(picture.crop((340, 340, 680, 680)), (340, 340))
    assert sharpness(np.asarray(portrait)) > BLURRED
    assert sharpness(np.full((300, 200, 3), 128, np.uint8)) == 0.0
    assert sharpness(np.zeros((1, 1, 3), np.uint8)) == 0.0


POSES = [
    ((90, 160, 240), (0.5, 0.55), 0),
    ((240, 220, 120), (0.4, 0.6), 20),
    ((60, 160, 80), (0.62, 0.5), -15),
]


@pytest.mark.parametrize(
    "copy",
    [
        lambda p: resaved(p, 30),
        lambda p: p.resize((p.width // 2, p.height // 2), Image.Resampling.LANCZOS),
        lambda p: resaved(p.resize((3 * p.width, 3 * p.height)), 60),
        lambda p: p.point(lambda v: min(255, int(1.04 * v))),
    ],
)
def test_copies_are_found(copy: Callable[[Image.Image], Image.Image]) -> None:
    originals = [cartoon(*pose) for pose in POSES] + [textured(256)]
    photos = [photo_of(p) for p in (*originals, *map(copy, originals))]
    assert near_duplicates(photos) == [(i, i + 4) for i in range(4)]


def test_other_poses_backgrounds_and_colours_are_no_duplicates() -> None:
    poses = [cartoon(*pose) for pose in POSES]
    other_background = cartoon((200, 60, 160), POSES[0][1])
    other_texture = [textured(256, seed) for seed in (0, 1)]
    flat = [Image.new("RGB", (64, 64), c) for c in (RED, GREEN)]
    photos = [photo_of(p) for p in (*poses, other_background, *other_texture, *flat)]
    assert near_duplicates(photos) == []


# buckets

SIDES = st.integers(1, 20000)


@settings(deadline=None, max_examples=60)
@given(SIDES, SIDES, st.sampled_from([128, 256, 512, 1024]), st.sampled_from([8, 16]))
def test_buckets_keep_area_and_aspect(width: int, height: int, side: int, multiple: int) -> None:
    w, h = bucket(width, height, side * side, multiple)
    assert w % multiple == h % multiple == 0
    assert 0.8 * side * side <= w * h <= 1.1 * side * side
    assert 1 / 3 <= w / h <= 3
    aspect = min(max(width / height, 1 / 3), 3)
    assert abs(np.log(w / h / aspect)) < 1.6 * multiple / side * 1.0001
    assert bucket(height, width, side * side, multiple) == (h, w)


@settings(deadline=None, max_examples=60)
@given(SIDES, SIDES, st.integers(1, 2000), st.integers(1, 700))
def test_tiny_areas_are_respected_or_refused(
    width: int, height: int, area: int, multiple: int
) -> None:
    if 1.1 * area < multiple**2:
        with pytest.raises(InputError, match=f"at least {multiple} x {multiple}"):
            bucket(width, height, area, multiple)
    else:
        w, h = bucket(width, height, area, multiple)
        assert w * h <= 1.1 * area and w % multiple == h % multiple == 0 and 1 / 3 <= w / h <= 3


def test_usual_buckets() -> None:
    assert bucket(3000, 3000, 1024 * 1024) == (1024, 1024)
    assert bucket(128, 128, 128 * 128) == (128, 128)
    assert bucket(6000, 4000, 1024 * 1024) == (1248, 832)
    assert bucket(4000, 6000, 1024 * 1024) == (832, 1248)
    assert bucket(10000, 100, 1024 * 1024)[0] == pytest.approx(3 * 1024 / np.sqrt(3), rel=0.03)


@settings(deadline=None)
@given(SIDES, SIDES)
def test_crop_is_inside_centred_and_touches_two_sides(width: int, height: int) -> None:
    shape = bucket(width, height, 256 * 256)
    left, top, right, bottom = crop_box(width, height, shape)
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    assert abs(left - (width - right)) <= 1 and abs(top - (height - bottom)) <= 1
    assert (left, right) == (0, width) or (top, bottom) == (0, height)
    w, h = right - left, bottom - top
    assert abs(w * shape[1] - h * shape[0]) <= max(shape) or min(w, h) == 1


def test_crop_box_of_known_pictures() -> None:
    assert crop_box(400, 100, (128, 128)) == (150, 0, 250, 100)
    assert crop_box(100, 400, (128, 128)) == (0, 150, 100, 250)
    assert crop_box(640, 480, (64, 48)) == (0, 0, 640, 480)


def test_fit_crops_the_middle_and_does_not_stretch() -> None:
    pixels = np.zeros((100, 400, 3), np.uint8)
    pixels[:, 150:250] = RED
    assert near(fit(pixels, (48, 48)), RED, 0)
    disc = Image.new("RGB", (900, 600))
    ImageDraw.Draw(disc).ellipse((250, 100, 650, 500), fill=WHITE)
    fitted = fit(np.asarray(disc), (96, 64))
    assert fitted.shape == (64, 96, 3) and fitted.dtype == np.uint8
    inside = fitted[..., 0] > 127
    assert abs(int(inside.any(0).sum()) - int(inside.any(1).sum())) <= 1


# inspect


def test_inspect_reports_each_picture_and_the_set() -> None:
    sharp = textured(512)
    photos = [
        photo_of(sharp, "a.png", "ohwx at sea"),
        photo_of(resaved(sharp, 85), "b\n.jpg"),
        photo_of(textured(512, 3).filter(ImageFilter.GaussianBlur(5)), "c.png"),
        photo_of(textured(300, 5).resize((300, 200)), "d.png"),
        photo_of(textured(1024, 7).resize((2048, 400)), "e.png"),
    ]
    report = inspect(photos, 512 * 512)
    a, b, c, d, e = report.photos
    assert (a.name, a.has_caption, a.duplicates_of) == ("a.png", True, ["b\\n.jpg"])
    assert a.advice == ["nearly the same as b\\n.jpg: keep one of them"]
    assert b.advice == ["nearly the same as a.png: keep one of them"] and not b.has_caption
    assert c.advice == ["blurred: use a sharper picture"] and c.sharpness < BLURRED
    assert d.bucket == bucket(300, 200, 512 * 512)
    size = f"300 x 200 for {d.bucket[0]} x {d.bucket[1]}"
    assert d.advice == [f"smaller than the training size ({size}): details will be soft"]
    assert e.crop == crop_box(2048, 400, e.bucket) and e.crop[1::2] == (0, 400)
    lost = 1 - (e.crop[2] - e.crop[0]) / 2048
    assert lost > 0.3 and f"the crop loses {lost:.0%} of it" in e.advice
    assert report.advice[0] == "1 of 5 pictures have a caption: write one for each or for none"
    assert (c.faults, d.faults, e.faults) == (["blurred"], ["small"], ["crop"])
    assert report.verdict == "fair: 2 of 5 photos have a fault; better without them"


def test_advice_on_the_set() -> None:
    sharp = textured(256)
    few = inspect([photo_of(sharp)], 128 * 128).advice
    assert len(few) == 1 and few[0].startswith("only 1 of at least 4 pictures: add")
    same = inspect([photo_of(resaved(sharp, q)) for q in (90, 80, 70, 60)], 128 * 128).advice
    assert len(same) == 1 and same[0].startswith("all pictures are nearly the same")
    many = inspect([photo_of(textured(64, seed)) for seed in range(21)], 64 * 64).advice
    assert many[0].startswith("more than 20 pictures")
    assert inspect(several(4), 64 * 64).advice == []


def several(count: int) -> list[Photo]:
    """Photos that have neither colours nor light in common."""
    shades = np.linspace(0.35, 1, count)
    return [
        photo_of(
            Image.fromarray(
                (
                    np.roll(np.asarray(textured(64, i)), i, 2)
                    * shades[i]
                    * (1, 0.5 + (i % 2) / 2, (i % 3) / 2)
                ).astype(np.uint8)
            )
        )
        for i in range(count)
    ]


def test_captions_without_the_trigger_are_named() -> None:
    captions = ("ohwx man at sea", "a man at sea", "[trigger] at sea", None)
    photos = [
        photo_of(textured(64, seed), f"{seed}.png", caption)
        for seed, caption in enumerate(captions)
    ]
    assert inspect(photos, 64 * 64, trigger="ohwx man").advice[-1] == (
        "captions that do not say ohwx man: 1.png; write it, or [trigger], where they name the subject"
    )


def test_to_json_is_plain_json() -> None:
    report = inspect([photo_of(textured(64))], 64 * 64)
    plain = report.to_json()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["photos"][0]["crop"] == [0, 0, 64, 64] and plain["photos"][0]["bucket"] == [64, 64]
