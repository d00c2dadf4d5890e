import numpy as np

from tpc_jax.pose.skeletons import (
    KEYPOINT_INDEX,
    KEYPOINT_NAMES,
    LIMBS,
    MIRRORED,
    NUM_KEYPOINTS,
    SUBSETS,
)


def test_names_are_coco_in_order():
    # The order of the COCO keypoint annotations.
    expected = (
        "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow "
        "right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle "
        "right_ankle"
    )
    assert list(KEYPOINT_NAMES) == expected.split()


def test_the_mirror_follows_from_the_names():
    swap = {"left": "right", "right": "left"}
    for name, k in zip(KEYPOINT_NAMES, MIRRORED, strict=True):
        side, _, part = name.partition("_")
        assert KEYPOINT_NAMES[k] == (f"{swap[side]}_{part}" if part else name)


def test_subsets_are_masks_of_the_named_parts():
    def names(subset):
        return {KEYPOINT_NAMES[k] for k in np.flatnonzero(SUBSETS[subset])}

    assert names("face") == {"nose", "left_eye", "right_eye", "left_ear", "right_ear"}
    assert names("torso") == {"left_shoulder", "right_shoulder", "left_hip", "right_hip"}
    assert names("upper_body") == names("face") | names("arms") | {"left_hip", "right_hip"}
    assert names("upper_body") | names("legs") == names("all") == set(KEYPOINT_NAMES)
    assert all(mask.shape == (17,) and mask.dtype == bool for mask in SUBSETS.values())


def test_limbs_are_symmetric_and_reach_every_joint():
    assert {k for limb in LIMBS for k in limb} == set(range(NUM_KEYPOINTS))
    limbs = {frozenset(limb) for limb in LIMBS}
    assert {frozenset(MIRRORED[k] for k in limb) for limb in limbs} == limbs
    assert KEYPOINT_INDEX["left_wrist"] == 9
