"""6D pose of a known box from one picture: geometry, renderer, network, estimator.

Start with ``pipeline.pose.estimator.PoseEstimator``. Camera axes are OpenCV's: x right, y down, z away from the camera;
a point X of the object (metres) stands at ``R @ X + t`` before the camera. Pixel centres have whole coordinates.
"""
