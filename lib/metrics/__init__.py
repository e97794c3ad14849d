"""How far a prediction is from the truth: cameras, depth, points and clouds.

Lengths come in the unit of the truth (metres for every `Sequence` with recorded or rendered cameras), angles
in degrees where the name ends in ``_deg``. The convention of a camera error is part of its result,
because the same trajectory has several numbers that are all called ATE.
"""

from lib.metrics.cameras import (
    CONVENTIONS,
    CameraErrors,
    DegenerateAlignmentError,
    Similarity,
    camera_errors,
    path_length,
    trajectory_errors,
    umeyama,
)
from lib.metrics.surfaces import (
    ChamferDistance,
    DepthErrors,
    PointErrors,
    chamfer,
    depth_errors,
    point_errors,
)
