"""The page Photos: what good and bad sets of photos drew, and what to take instead."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from fluxbooth.web.pages.login import Viewer, same_origin
from fluxbooth.web.pages.render import page
from fluxbooth.web.pages.texts import text

router = APIRouter(prefix="/app", include_in_schema=False, dependencies=[Depends(same_origin)])


@dataclass(frozen=True)
class PhotoSet:
    """Photos, and what a tune of them drew: drawn by `pretrain.guide`."""

    name: str
    good: bool = False
    photos_high: int = 262  # pixels

    @property
    def title(self) -> str:
        return text(f"guide.{self.name}")

    @property
    def help(self) -> str:
        return text(f"guide.{self.name}.help")


SETS = (
    PhotoSet("varied", good=True),
    PhotoSet("few", good=True, photos_high=128),
    PhotoSet("alike"),
    PhotoSet("blurred"),
    PhotoSet("mixed"),
)
WIDE, PICTURES_HIGH = 530, 128  # pixels


@router.get("/guide")
def guide(request: Request, account: Viewer) -> Response:
    return page(
        request,
        "guide.html",
        title=text("guide.title"),
        sets=SETS,
        wide=WIDE,
        pictures_high=PICTURES_HIGH,
    )
