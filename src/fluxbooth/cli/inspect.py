"""`fluxbooth inspect`: photos before training."""

from __future__ import annotations

import argparse

from fluxbooth.types import Json


def inspect(options: argparse.Namespace) -> Json:
    from fluxbooth import base_selection
    from fluxbooth.models import registry
    from fluxbooth.photos import folders as photo_folders
    from fluxbooth.photos import inspection

    # a folder that is missing is told before torch is asked for a GPU
    inspection.find(options.photos)
    row = registry.find(options.base) if options.base else base_selection.suited()
    side = max(row.resolutions)
    report = inspection.inspect(inspection.read(options.photos), side**2)
    report.advice.extend(photo_folders.left_out(options.photos))
    if not options.json:
        print(f"For {row.name}, at the area of {side} x {side}:")
        for photo in report.photos:
            left, top, right, bottom = photo.crop
            crop = (
                f"crop {right - left} x {bottom - top}, trained at {photo.bucket[0]} x "
                f"{photo.bucket[1]}"
            )
            facts = f"{photo.width} x {photo.height}, sharpness {photo.sharpness:.2f}, {crop}"
            print(f"{photo.name}: {facts}" + (", with caption" if photo.has_caption else ""))
            for advice in photo.advice:
                print(f"    {advice}")
        for advice in report.advice:
            print(advice)
    return {"base": row.name, **report.to_json()}
