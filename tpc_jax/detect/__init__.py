"""Find people in pictures and videos: keypoints, landmarks, masks, and how sure they are."""
