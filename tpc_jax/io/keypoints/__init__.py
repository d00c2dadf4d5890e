"""How detectors write keypoints: reading their documents and settling order, time and units."""
