"""VGGT from its specification: state-dict compatible with VGGT-1B, with merging and probing as arguments."""

from lib.vggt.aggregator import ForwardReport
from lib.vggt.cameras import decode_pose, encode_pose
from lib.vggt.config import CameraHeadConfig, DenseHeadConfig, PatchEmbedConfig, TrackHeadConfig, VGGTConfig
from lib.vggt.layers import AttentionEvent, Observer
from lib.vggt.logit_scale import FixedScale, LengthScale, LogitScale, SinkScale, parse_scale
from lib.vggt.model import VGGT, Prediction
