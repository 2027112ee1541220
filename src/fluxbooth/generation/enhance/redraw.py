"""Drawing a picture anew, whole or in part, with the text and the LoRAs it was drawn with."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from fluxbooth import threads
from fluxbooth.generation.enhance import progress, tiles
from fluxbooth.generation.enhance.tiles import Window
from fluxbooth.generation.speedups import drawing
from fluxbooth.lora.inference import Adapter, Branches
from fluxbooth.models.family import Conditioning, Family

CELL = 8  # pixels of a latent
ALIGN = 16  # pixels of a token


@dataclass(frozen=True)
class Redraw:
    """Image-to-image by Euler steps along the base's velocity; in windows of its native size where
    the picture is larger than the base can draw (`tiles.py`).

    Attributes:
        family: The base in memory, its network loaded.
        texts: What its encoders said of each text that may be asked for: they may have left.
        text: That of the picture, if none is given.
        loras: Those of the picture, with their weights; put on for the call.
        steps: Of a whole drawing; `strength` says how many of them are gone through.
        guidance: That the base is told.
        references: Pictures that it looks at.
        tell: Called with the number of windows that are done, at all levels, and of all.
    """

    family: Family
    texts: Mapping[str, Conditioning]
    text: str
    loras: Sequence[tuple[Adapter, float]]
    steps: int
    guidance: float
    references: Sequence[Image.Image] = ()
    tell: progress.Tell = progress.silent

    @property
    def native_side(self) -> int:
        """Pixels of the square that the base is at home at."""
        return self.family.row.native_side

    @property
    def largest_area(self) -> int:
        """Pixels that are drawn in one piece."""
        return self.family.row.largest_area

    @functools.cached_property
    def _looked(self) -> Conditioning:
        return self.family.encode_references(self.references) if self.references else {}

    @functools.cached_property
    def _branches(self) -> Branches:
        return Branches(self.family, self.loras)

    def with_loras(self, loras: Sequence[tuple[Adapter, float]]) -> Redraw:
        return replace(self, loras=loras)

    def __call__(
        self,
        image: Image.Image,
        *,
        strength: float,
        seed: int,
        mask: Image.Image | None = None,
        text: str | None = None,
    ) -> Image.Image:
        """The picture drawn anew, RGB of the same size.

        Args:
            image: RGB of any size.
            strength: 0 to 1, the share of the noise levels that are gone through: 0 keeps the
                picture, 1 forgets it.
            seed: Of the noise, which is that of the whole picture.
            mask: L of the same size; white is drawn anew, black keeps its very pixels, grey is
                blended.
            text: One of `texts`.
        """
        drawn = self.drawn(image, strength=strength, seed=seed, mask=mask, text=text)
        return drawn if mask is None else Image.composite(drawn, image, mask)

    def drawn(
        self,
        image: Image.Image,
        *,
        strength: float,
        seed: int,
        mask: Image.Image | None = None,
        text: str | None = None,
        gradual: bool = False,
    ) -> Image.Image:
        """The same as the base drew it: what the mask keeps is a little changed too, for it went
        through the autoencoder. If `gradual`, grey is kept, too, until the noise is down to that
        share of what it begins with (differential diffusion, Levin and Fried 2023,
        arXiv:2306.00950)."""
        if not strength or (mask and not mask.getbbox()):
            return image
        padded = _padded(image)
        with (
            self._branches.applied(),
            drawing(self.family, "exact", padded.size),
            threads.free_cores(),
        ):
            if mask and not gradual:
                mask = mask.convert("L").point(_white)
            cells = None if mask is None else _cells(_padded(mask)).to(self.family.device)
            told = self.texts[self.text if text is None else text] | self._looked
            whole = self._denoised(padded, told, strength, seed, cells)
        return whole.crop((0, 0, *image.size))

    @torch.no_grad()
    def _denoised(
        self,
        image: Image.Image,
        conditioning: Conditioning,
        strength: float,
        seed: int,
        mask: Tensor | None,
    ) -> Image.Image:
        """`mask` is 1 x 1 x H/8 x W/8: the share of the first noise level from which on latents
        are free; 0 where they stay what they are."""
        family, size = self.family, image.size
        z = family.unpack(family.encode_image(_pixels(image)), size)
        noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(seed)).to(z)
        places = tiles.windows(size, self.native_side, self.largest_area)
        sigmas = family.sigmas(self.steps, places[0].size, strength)
        if mask is not None:  # elsewhere there is nothing to draw
            places = [window for window in places if window.of(mask, CELL).any()]
        x, done, of = _noisy(z, noise, sigmas[0]), itertools.count(1), len(sigmas) - 1

        def velocity(x: Tensor, sigma: float, window: Window) -> Tensor:
            found = self._velocity(x, sigma, conditioning, window)
            self.tell(next(done), of * len(places))
            return found

        for now, then in itertools.pairwise(sigmas):
            threads.look()
            told = partial(velocity, x, now)
            change = (then - now) * tiles.merged(size, places, CELL, told)
            x = (x.float() + change).to(x.dtype)
            if mask is not None:
                free = (mask > 0) & (mask * sigmas[0] >= then)
                x = torch.where(free, x, _noisy(z, noise, then))
        return _picture(family.decode_image(family.pack(x), size))

    def _velocity(
        self, x: Tensor, sigma: float, conditioning: Conditioning, window: Window
    ) -> Tensor:
        """Of what lies in the window, as a grid."""
        told = self.family.velocity(
            self.family.pack(window.of(x, CELL)),
            x.new_full((1,), sigma),
            conditioning,
            self.guidance,
            window.size,
        )
        return self.family.unpack(told, window.size)


def _noisy(z: Tensor, noise: Tensor, sigma: float) -> Tensor:
    return (1 - sigma) * z + sigma * noise


def _padded(image: Image.Image) -> Image.Image:
    """Continued to the right and below by its last pixels, up to whole tokens."""
    width, height = (-(-side // ALIGN) * ALIGN for side in image.size)
    if (width, height) == image.size:
        return image
    pixels = np.asarray(image)
    more = [(0, height - image.height), (0, width - image.width), (0, 0)][: pixels.ndim]
    return Image.fromarray(np.pad(pixels, more, mode="edge"))


def _white(value: int) -> int:
    return 255 if value else 0


def _cells(mask: Image.Image) -> Tensor:
    """The lightest pixel of each latent, 0 to 1."""
    light = torch.tensor(np.asarray(mask.convert("L"))).float() / 255
    return functional.max_pool2d(light[None, None], CELL)


def _pixels(image: Image.Image) -> Tensor:
    pixels = torch.tensor(np.asarray(image.convert("RGB")))
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1


def _picture(pixels: Tensor) -> Image.Image:
    numbers = (pixels[0].float().permute(1, 2, 0).cpu() * 127.5 + 127.5).round().clamp(0, 255)
    return Image.fromarray(numbers.numpy().astype(np.uint8))
