"""How a training and the pictures beside it share a device."""

from __future__ import annotations

from fluxbooth.engine.sharing import AT_ONCE, Share


def test_pictures_come_at_once_and_a_training_keeps_its_half_when_they_do_not_end() -> None:
    clock = [100.0]
    share = Share(lambda: clock[0])

    def drawn(seconds: float) -> None:
        clock[0] += seconds
        share.drew()

    def trained(seconds: float) -> None:
        clock[0] += seconds
        share.trained()

    assert share.is_pictures
    drawn(AT_ONCE - 1)
    assert share.is_pictures  # what comes at once is drawn at once
    drawn(11)
    assert not share.is_pictures
    trained(9)
    assert not share.is_pictures
    trained(2)
    assert share.is_pictures
    pictures = training = 0.0
    for _ in range(1000):  # one after another, each of 3 s, between steps of 0.5 s
        if share.is_pictures:
            drawn(3)
            pictures += 3
        else:
            trained(0.5)
            training += 0.5
    assert 0.49 < training / (pictures + training) < 0.51
    trained(10_000)  # nobody asked: no more than AT_ONCE is saved up
    drawn(AT_ONCE)
    assert not share.is_pictures
