"""Strangers' pictures decoded in a process of their own, with limits of size, memory and time.

Only the child ever runs an image decoder on their bytes; what it cannot read comes back as a reason
in words.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from fluxbooth.errors import FluxboothError, InputError
from fluxbooth.photos import complexity

FORMATS = "JPEG, PNG, WebP, AVIF, TIFF, BMP or HEIC"
# decoded at reduced scale, so that a 100-megapixel camera's pictures pass
JPEG_PIXELS = 150_000_000
OTHER_PIXELS = 64_000_000
FEWEST_PIXELS = 16  # of the smaller side: a tile of FLUX's latents
# the longer side may be so many times the smaller one; beyond, no file of ours could hold the
# scaled picture
MOST_SLENDER = 50
MEMORY = 2 * 2**30  # bytes that decoding may take beyond what the idle child has
PROCESSOR_SECONDS = 10  # for one picture: the slowest that is lawful takes three
SECONDS = 60.0  # for one picture, on a machine that is busy with other things

_JPEGS = ("JPEG", "MPO")  # a phone's stereo or HDR JPEG is an MPO
# by Pillow alone, which has decoders for much that nobody needs
_OPENED = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP")
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_READY = b"ready\n"
_CHILD = "from fluxbooth.photos.decoder import _serve; _serve()"

# pixels and the original's width and height, or the reason why not
Answer = tuple[np.ndarray, int, int] | str


# Decoding, the caller's side. The child gets {"paths", "max_pixels", "alpha"} as JSON and answers
# each path in turn with a line of JSON: {"reason"}, or {"shape", "width", "height"} followed by the
# raw bytes, RGB or RGBA; with each, the "seconds" it took.


def decode_apart(paths: list[Path], max_pixels: int, *, alpha: bool = False) -> list[Answer]:
    """With `alpha`, what is transparent somewhere has a fourth channel; else it lies on white."""
    answers: list[Answer] = []
    while len(answers) < len(paths):
        rest = paths[len(answers) :]
        answers += [answer for answer, _ in _answers_of_child(rest, max_pixels, alpha)]
    return answers


def decode_some(paths: list[Path], max_pixels: int, seconds: float) -> tuple[list[Answer], float]:
    """Answers for the first of the paths, until they took so many seconds of processor time;
    and how many they did take."""
    answers, spent = [], 0.0
    while len(answers) < len(paths) and spent < seconds:
        with contextlib.closing(_answers_of_child(paths[len(answers) :], max_pixels)) as child:
            for answer, took in child:
                answers.append(answer)
                spent += took
                if spent >= seconds:
                    break
    return answers, spent


def _answers_of_child(
    paths: list[Path], max_pixels: int, alpha: bool = False
) -> Generator[tuple[Answer, float]]:
    """Answers for the paths in order, and the seconds each took, until a picture kills the
    child: its reason is then the last."""
    places = os.pathsep.join([*filter(None, sys.path), str(Path(__file__).resolve().parents[2])])
    # a thread pool would slow the start
    single = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    env = {**os.environ, **single, "PYTHONPATH": places}
    command = [sys.executable, "-P", "-c", _CHILD]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=complaints, env=env) as child,
    ):
        assert child.stdin and child.stdout
        try:
            if child.stdout.readline() != _READY:
                complaints.seek(0)
                last = complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
                raise FluxboothError(
                    f"The picture decoder did not start ({last}): repair the installation."
                )
            asked = {"paths": [str(p) for p in paths], "max_pixels": max_pixels, "alpha": alpha}
            child.stdin.write(json.dumps(asked).encode())
            child.stdin.close()
            for _ in paths:
                start = time.monotonic()
                answer = _next_answer(child)
                if answer is None:
                    waited = time.monotonic() - start
                    over = (
                        PROCESSOR_SECONDS
                        if sys.platform != "win32" and child.wait() == -signal.SIGXCPU
                        else SECONDS
                        if waited >= SECONDS
                        else None
                    )
                    yield (
                        f"it takes longer than {over:g} s to decode"
                        if over
                        else "decoding it crashes",
                        waited,
                    )
                    return
                yield answer
        finally:
            child.kill()


def _next_answer(child: subprocess.Popen[bytes]) -> tuple[Answer, float] | None:
    """The child's next answer; None when it died or had to be killed for taking too long."""
    timer = threading.Timer(SECONDS, child.kill)
    timer.start()
    try:
        return _receive(child)
    finally:
        timer.cancel()


def _receive(child: subprocess.Popen[bytes]) -> tuple[Answer, float] | None:
    assert child.stdout
    line = child.stdout.readline()
    if not line.endswith(b"\n"):
        return None
    header = json.loads(line)
    if "reason" in header:
        return header["reason"], header["seconds"]
    data = bytearray(child.stdout.read(math.prod(header["shape"])))
    if len(data) < math.prod(header["shape"]):
        return None
    pixels = np.frombuffer(data, np.uint8).reshape(header["shape"])
    return (pixels, header["width"], header["height"]), header["seconds"]


# Decoding, the child's side.


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not garble the answers
    _limit_memory()
    # only in this process: _refuse_giant comes before any decoding, and names the size
    Image.MAX_IMAGE_PIXELS = None
    if _has_heif():
        importlib.import_module("pillow_heif").register_heif_opener()
    answers.write(_READY)
    answers.flush()
    request = json.load(sys.stdin)
    for path in request["paths"]:
        began = time.process_time()
        _limit_time(began)
        header, data = _answer(Path(path), request["max_pixels"], request["alpha"])
        header["seconds"] = time.process_time() - began
        answers.write(json.dumps(header).encode() + b"\n" + data)
        answers.flush()


def _has_heif() -> bool:
    return importlib.util.find_spec("pillow_heif") is not None


def _limit_memory() -> None:
    if sys.platform == "linux":
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_time(used: float) -> None:
    """Of the processor, which does not pass while others have it.

    SIGXCPU ends this process when it is over.
    """
    if sys.platform != "win32":
        import resource

        resource.setrlimit(
            resource.RLIMIT_CPU, (math.ceil(used) + PROCESSOR_SECONDS, resource.RLIM_INFINITY)
        )


def _answer(path: Path, max_pixels: int, alpha: bool) -> tuple[dict[str, Any], bytes]:
    """Header and body for one picture.

    Whatever a decoder raises on a stranger's bytes becomes a reason in words.
    """
    try:
        image, width, height = _decode(path, max_pixels, alpha)
        return {
            "shape": [image.height, image.width, len(image.getbands())],
            "width": width,
            "height": height,
        }, image.tobytes()
    except InputError as error:
        return {"reason": str(error)}, b""
    except MemoryError:
        return {"reason": "decoding it takes too much memory"}, b""
    except UnidentifiedImageError:
        return {"reason": _why_unidentified(path)}, b""
    except OSError as error:
        return {"reason": error.strerror or "it is cut off or damaged"}, b""
    except Exception:  # decoders also raise ValueError, SyntaxError, struct.error, zlib.error...
        return {"reason": "it is damaged"}, b""


def _why_unidentified(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(12)
    if not head:
        return "the file is empty"
    heif = path.suffix.lower() in (".heic", ".heif") or (
        head[4:8] == b"ftyp" and head[8:] in _HEIF_BRANDS
    )
    if heif and not _has_heif():
        return "HEIC needs an extra: install fluxbooth[heif]"
    return f"it is not a {FORMATS} picture"


def _decode(path: Path, max_pixels: int, alpha: bool) -> tuple[Image.Image, int, int]:
    """The first frame as upright RGB of at most `max_pixels`, and the upright width and height
    of the original. With `alpha`, RGBA where some of it is transparent."""
    complexity.check(path)
    with Image.open(path, formats=[*_OPENED, *(["HEIF"] if _has_heif() else [])]) as image:
        width, height = image.size
        _refuse_size(image)
        target = within(width, height, max_pixels)
        if image.format in _JPEGS:
            image.draft(None, target)
        image.load()
        turn, profile = _turn(image), image.info.get("icc_profile")
        picture = _resizable(image)
    if picture.size != target:
        picture = picture.resize(target, Image.Resampling.LANCZOS, reducing_gap=3.0)
    picture = _coloured(picture, profile, alpha)
    if turn is None:
        return picture, width, height
    picture = picture.transpose(turn)
    sideways = turn not in (_TURNS[2], _TURNS[3], _TURNS[4])
    return (picture, height, width) if sideways else (picture, width, height)


def _refuse_size(image: Image.Image) -> None:
    most = JPEG_PIXELS if image.format in _JPEGS else OTHER_PIXELS
    size = f"{image.width} x {image.height} pixels"
    if image.width * image.height > most:
        raise InputError(
            f"it has {size}, more than the {most // 10**6} million that a {image.format} may have"
        )
    if min(image.size) < FEWEST_PIXELS:
        raise InputError(f"it has {size}, and its smaller side must have at least {FEWEST_PIXELS}")
    if max(image.size) > MOST_SLENDER * min(image.size):
        raise InputError(
            f"it has {size}, and its longer side may be at most {MOST_SLENDER} times the "
            "smaller one"
        )


def within(width: int, height: int, most: int) -> tuple[int, int]:
    scale = min(1.0, math.sqrt(most / (width * height)))
    return max(1, int(width * scale)), max(1, int(height * scale))


def _turn(image: Image.Image) -> Image.Transpose | None:
    # broken EXIF raises many things; viewers show such a picture unturned
    with contextlib.suppress(Exception):
        return _TURNS.get(image.getexif().get(0x0112, 1))
    return None


def _resizable(image: Image.Image) -> Image.Image:
    """As L, RGB, CMYK or RGBA: modes that resize well."""
    if image.mode in ("I", "F"):  # of a TIFF: nothing in it says which number is white
        raise InputError("its pixels are 32-bit numbers: save it with 8 or 16 bits")
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion clips instead of scaling
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in ("L", "RGB", "CMYK"):
        return image.copy()
    try:
        return image.convert("RGB")
    except ValueError as error:
        raise InputError(f"its colours ({image.mode}) cannot be read: save it as RGB") from error


def _coloured(picture: Image.Image, profile: bytes | None, keep: bool) -> Image.Image:
    """RGB of any picture; what is transparent lies on white, or stays so where it is to `keep`."""
    alpha = picture.getchannel("A") if picture.mode == "RGBA" else None
    colour = picture.convert("RGB") if alpha else picture
    if profile:
        # viewers ignore a broken or unfit profile too
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            colour = _through_profile(colour, profile)
    colour = colour.convert("RGB")
    if alpha is None:
        return colour
    if keep:
        if alpha.getextrema() != (255, 255):
            colour.putalpha(alpha)
        return colour
    white = Image.new("RGB", colour.size, "white")
    white.paste(colour, mask=alpha)
    return white


def _through_profile(colour: Image.Image, profile: bytes) -> Image.Image:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if colour.mode == "L" and profile[16:20] == b"RGB ":
        colour = colour.convert("RGB")
    target = ImageCms.createProfile("sRGB")
    return ImageCms.profileToProfile(colour, source, target, outputMode="RGB") or colour
