import numpy as np
import pytest
from problems import person

from tpc_jax import Keypoints
from tpc_jax.pose.matching import foremost_person, match_people, select_people, track_people


def crowd(rng, *, centres, height=100.0):
    """People in one picture: [people, 17, 2] about the given centres."""
    poses = np.stack([person(rng) for _ in centres])
    poses -= poses.mean(axis=1, keepdims=True)
    poses *= height / np.ptp(poses, axis=1).max(axis=-1)[:, None, None]
    return poses + np.asarray(centres, float)[:, None, :]


def clip(rng, paths, height=100.0):
    """People who keep their pose and move along paths [people, frames, 2]."""
    paths = np.asarray(paths, float)
    poses = crowd(rng, centres=np.zeros((len(paths), 2)), height=height)
    xy = poses[:, None] + paths[:, :, None, :]
    xy += rng.normal(size=xy.shape)
    return xy, np.ones(xy.shape[:-1])


def shuffled(rng, xy, conf):
    """Permute people in every frame; return keypoints and where each person went."""
    frames = np.arange(xy.shape[1])
    order = np.stack([rng.permutation(len(xy)) for _ in frames], axis=1)
    return Keypoints(xy, conf).select((order, frames)), np.argsort(order, axis=0)


def line(start, stop, frames=40):
    return np.linspace(start, stop, frames)


def reference_like(xy, frame=0):
    """The people of one frame as a reference at half the size, elsewhere."""
    return Keypoints(xy[:, frame] * 0.5 + [300, 10], np.ones((len(xy), 17)))


def test_people_are_followed_and_put_in_the_order_of_the_reference(rng):
    xy, conf = clip(rng, [line([100, 200], [150, 200]), line([300, 210], [260, 200]),
                          line([500, 190], [480, 220])])  # fmt: skip
    driving, truth = shuffled(rng, xy, conf)
    people = match_people(reference_like(xy), driving).order
    np.testing.assert_array_equal(people, truth)
    chosen = select_people(driving, people)
    np.testing.assert_array_equal(chosen.xy, xy)
    np.testing.assert_array_equal(chosen.conf, conf)


def test_who_is_known_is_not_found_out_by_place(rng):
    # Two people who meet and turn back look as if they had crossed.
    there, back = line([100, 200], [300, 200], 20), line([300, 200], [100, 200], 20)
    xy, conf = clip(rng, [np.concatenate([there, back]), 600 - np.concatenate([there, back])])
    known = np.arange(2)[:, None].repeat(40, axis=1)
    known[1, 18:22] = -1
    people = match_people(reference_like(xy), Keypoints(xy, conf), tracks=known).order
    np.testing.assert_array_equal(people, known)


def test_the_order_of_the_reference_decides(rng):
    xy, conf = clip(rng, [line([100, 200], [150, 200]), line([400, 200], [380, 200])])
    driving, truth = shuffled(rng, xy, conf)
    reference = reference_like(xy)
    swapped = Keypoints(reference.xy[::-1], reference.conf[::-1])
    np.testing.assert_array_equal(match_people(swapped, driving).order, truth[::-1])


def test_crossing_people_keep_their_identity(rng):
    # At frame 20 both stand on the same spot; half way through each one hides the other in turn.
    xy, conf = clip(rng, [line([100, 200], [500, 200], 41), line([500, 205], [100, 205], 41)])
    driving, truth = shuffled(rng, xy, conf)
    np.testing.assert_array_equal(match_people(reference_like(xy), driving).order, truth)
    conf[1, 19:22] = 0
    driving, truth = shuffled(rng, xy, conf)
    people = match_people(reference_like(xy), driving).order
    seen = np.ones(41, bool)
    seen[19:22] = False
    np.testing.assert_array_equal(people[0], truth[0])
    np.testing.assert_array_equal(people[1, seen], truth[1, seen])
    assert (people[1, ~seen] == -1).all()


def test_a_person_missing_from_the_first_frames_is_found_later(rng):
    xy, conf = clip(rng, [line([100, 200], [120, 200]), line([400, 200], [380, 200])])
    conf[0, :5] = 0
    conf[:, 0] = 0
    driving, truth = shuffled(rng, xy, conf)
    people = match_people(reference_like(xy), driving).order
    np.testing.assert_array_equal(people[0], np.where(np.arange(40) < 5, -1, truth[0]))
    np.testing.assert_array_equal(people[1], np.where(np.arange(40) < 1, -1, truth[1]))
    assert not select_people(driving, people).conf[:, 0].any()


def test_a_returning_person_is_recognised_by_the_nearest_last_place(rng):
    xy, conf = clip(rng, [line([100, 200], [140, 200]), line([300, 200], [330, 200]),
                          line([500, 200], [480, 200])])  # fmt: skip
    conf[0, 10:18] = 0
    conf[2, 12:25] = 0
    driving, truth = shuffled(rng, xy, conf)
    people = match_people(reference_like(xy), driving).order
    present = conf.any(axis=-1)
    np.testing.assert_array_equal(people, np.where(present, truth, -1))


def test_a_lone_person_survives_a_cut(rng):
    xy, conf = clip(
        rng, [np.concatenate([line([100, 200], [110, 200], 10), line([900, 200], [880, 200], 10)])]
    )
    people = match_people(reference_like(xy), Keypoints(xy, conf)).order
    np.testing.assert_array_equal(people, np.zeros((1, 20)))


def test_a_newcomer_far_away_starts_a_track_of_their_own(rng):
    xy, conf = clip(rng, [line([100, 200], [110, 200]), line([600, 200], [620, 200])])
    conf[1, :10] = 0
    conf[0, 10] = 0
    tracks = track_people(Keypoints(xy, conf))
    present = conf.any(axis=-1)
    np.testing.assert_array_equal(tracks, np.where(present, [[0], [1]], -1))


def test_surplus_people_are_left_out_passers_by_first(rng):
    xy, conf = clip(rng, [line([100, 200], [110, 200]), line([600, 200], [620, 200])])
    conf[0, 20:] = 0
    reference = Keypoints(person(rng)[None], np.ones((1, 17)))
    people = match_people(reference, Keypoints(xy, conf)).order
    np.testing.assert_array_equal(people, np.ones((1, 40)))


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("better", ["larger", "surer", "longer"])
def test_of_more_people_than_wanted_the_most_prominent_is_meant(better, first, rng):
    xy, conf = clip(rng, [line([100, 200], [110, 200]), line([600, 200], [620, 200])])
    conf *= 0.8
    if better == "larger":
        middle = xy[first].mean(axis=1, keepdims=True)
        xy[first] = middle + 1.5 * (xy[first] - middle)
    elif better == "surer":
        conf[first] = 1.0
    else:
        conf[1 - first, ::3] = 0
    reference = Keypoints(person(rng)[None], np.ones((1, 17)))
    found = match_people(reference, Keypoints(xy, conf))
    assert found.person.tolist() == [first]
    assert found.left_out.tolist() == [1 - first]
    np.testing.assert_array_equal(found.order, np.full((1, 40), first))


@pytest.mark.parametrize(("frames", "expected"), [(20, 1), (10, 0)])
def test_size_and_presence_weigh_against_each_other(frames, expected, rng):
    """Three times as large counts as much as three times as long."""
    xy, conf = clip(rng, [line([100, 200], [110, 200]), line([600, 200], [620, 200])])
    middle = xy[1].mean(axis=1, keepdims=True)
    xy[1] = middle + 3 * (xy[1] - middle)
    conf[1, frames:] = 0
    reference = Keypoints(person(rng)[None], np.ones((1, 17)))
    assert match_people(reference, Keypoints(xy, conf)).person.tolist() == [expected]
    (order,) = foremost_person(Keypoints(xy, conf))
    np.testing.assert_array_equal(order, np.where(conf[expected].any(-1), expected, -1))


def test_people_are_numbered_from_left_to_right_by_where_they_are_first_seen(rng):
    xy, conf = clip(rng, [line([500, 200], [100, 200]), line([300, 205], [320, 205]),
                          line([100, 190], [550, 190])])  # fmt: skip
    conf[2, :4] = 0
    driving, truth = shuffled(rng, xy, conf)
    tracks = track_people(driving)
    present = conf.any(axis=-1)
    np.testing.assert_array_equal(tracks, np.where(present, truth, -1)[[2, 1, 0]])


def test_what_is_known_of_people_is_averaged_over_what_is_seen(rng):
    xy, conf = clip(rng, [line([100, 200], [110, 200]), line([600, 200], [620, 200])])
    conf[0, 10:] = 0
    conf[0, :, 9:] *= 0.1
    conf[1] = 0.6
    found = match_people(reference_like(xy), Keypoints(xy, conf))
    assert found.num_frames.tolist() == [10, 40]
    np.testing.assert_allclose(found.confidence, [1.0, 0.6])
    assert 90 < found.size[1] < 115
    assert found.size[0] < found.size[1]


def test_people_can_be_named(rng):
    xy, conf = clip(rng, [line([100, 200], [110, 200]), line([600, 200], [620, 200])])
    driving, truth = shuffled(rng, xy, conf)
    found = match_people(reference_like(xy), driving, person=[1, 0])
    np.testing.assert_array_equal(found.order, truth[::-1])


def test_of_more_reference_people_the_foremost_is_meant_whatever_stands_nearer(rng):
    people = crowd(rng, centres=[[128, 256], [384, 256]])
    people[0] = people[0].mean(axis=0) + 0.3 * (people[0] - people[0].mean(axis=0))
    reference = Keypoints(people, np.ones((2, 17)))
    xy, conf = clip(rng, [line([60, 100], [60, 100], 6)])
    for sizes in ({}, {"reference_size": (512, 512), "driving_size": (512, 256)}):
        assert match_people(reference, Keypoints(xy, conf), **sizes).person.tolist() == [-1, 0]


@pytest.mark.parametrize(("x", "expected"), [(60, [0, -1]), (420, [-1, 0])])
def test_the_canvas_tells_which_of_two_references_a_lone_person_is(x, expected, rng):
    reference = Keypoints(crowd(rng, centres=[[128, 256], [384, 256]]), np.ones((2, 17)))
    xy, conf = clip(rng, [line([x, 100], [x, 100], 6)])
    people = match_people(
        reference, Keypoints(xy, conf), reference_size=(512, 512), driving_size=(512, 256)
    ).order
    np.testing.assert_array_equal(people, np.tile(np.array(expected)[:, None], (1, 6)))


def test_missing_reference_people_and_unseen_points_do_no_harm(rng):
    xy, conf = clip(rng, [line([100, 200], [150, 200]), line([400, 200], [380, 200])])
    # Alternate halves of the body, NaN where unseen.
    conf[:, ::2, :9] = 0
    conf[:, 1::3, 9:] = 0
    xy[conf == 0] = np.nan
    full = np.nan_to_num(clip(rng, [line([100, 200], [150, 200])])[0])
    reference = Keypoints(
        np.stack([full[0, 0], np.full((17, 2), np.nan), full[0, 0] + [250, 0]]),
        np.stack([np.ones(17), np.zeros(17), np.ones(17)]),
    )
    people = match_people(reference, Keypoints(xy, conf)).order
    seen = conf.any(axis=-1)
    np.testing.assert_array_equal(people[0], np.where(seen[0], 0, -1))
    np.testing.assert_array_equal(people[1], np.full(40, -1))
    np.testing.assert_array_equal(people[2], np.where(seen[1], 1, -1))


@pytest.mark.parametrize("num_people", [0, 2])
def test_nobody_at_all_is_an_answer(num_people, rng):
    driving = Keypoints(np.zeros((num_people, 4, 17, 2)), np.zeros((num_people, 4, 17)))
    reference = Keypoints(person(rng)[None], np.ones((1, 17)))
    people = match_people(reference, driving).order
    np.testing.assert_array_equal(people, np.full((1, 4), -1))
    assert foremost_person(driving).shape == (0, 4)
    chosen = select_people(driving, people)
    assert chosen.xy.shape == (1, 4, 17, 2)
    assert not chosen.conf.any()


def test_shapes_are_checked(rng):
    good = Keypoints(np.zeros((1, 4, 17, 2)), np.zeros((1, 4, 17)))
    reference = Keypoints(person(rng)[None], np.ones((1, 17)))
    with pytest.raises(ValueError, match="reference must have xy with 3 axes"):
        match_people(good, good)
    with pytest.raises(ValueError, match="driving must have xy with 4 axes"):
        match_people(reference, reference)
    short = Keypoints(np.zeros((1, 4, 9, 2)), np.zeros((1, 4, 9)))
    with pytest.raises(ValueError, match="the same points, got 17 and 9"):
        match_people(reference, short)
