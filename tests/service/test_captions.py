"""What photos are said to show: kept beside them once a training has written it, taken along, and
changed in a draft."""

from __future__ import annotations

from pathlib import Path

from fluxbooth.events import Prepared
from fluxbooth.service.db.tables import Account, Tune
from fluxbooth.service.safety import Judge
from fluxbooth.service.tunes import photo_drafts, uploads
from tests.support.installation import Installation


def test_captions_that_a_training_wrote_stay_with_their_photos(installation: Installation) -> None:
    owner = installation.account()
    results, store = installation.results, installation.results.store
    tune = installation.tune(owner, "told")
    request = results.begin_training(tune)
    assert request is not None
    (photo,) = request["photos"]
    event: Prepared = {
        "event": "prepared", "pictures": 1, "steps": 9, "resumed_at": 0, "spec": {},
        "captions": {Path(photo).name: "[trigger] wearing a hat", "999.png": "nobody's"},
    }  # fmt: skip
    results.prepared(tune, event)
    assert Path(photo).with_suffix(".txt").read_text() == "[trigger] wearing a hat"
    results.tidy(Tune, tune)
    assert not list(Path(photo).parent.glob("999*"))
    with results.db.read() as session:
        row, account = session.get_one(Tune, tune), session.get_one(Account, owner)
        told = {row.photos[0].id: "[trigger] wearing a hat"}
        assert uploads.captions(row, store) == told
        draft = photo_drafts.draft(store, account, "a-draft-of-its-photos")
        photo_drafts.fill(draft, store, row, "nano", Judge(results.settings))
        assert [one.caption for one in draft.photos()] == ["[trigger] wearing a hat"]
        draft.write_caption(1, "[trigger] with another hat")
        assert uploads.captions(row, store) == told  # the tune stays as it is
    names = {upload.filename for upload in draft.uploads()}
    assert {Path(name).suffix for name in names} == {".png", ".txt"}
    assert not [path for path in store.incoming.iterdir() if path.is_file()]
