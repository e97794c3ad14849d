"""Files that other programs read and write: trajectories, clouds of points, a page to look at them."""

from lib.formats.clouds import write_cloud
from lib.formats.pairing import Pairs, pair
from lib.formats.trajectories import FORMATS, Trajectory, TrajectoryError, read_trajectory_file
