"""VGGT from its specification: state-dict compatible with VGGT-1B, with merging and probing as arguments."""

from lib.vggt.aggregator import ForwardReport, Probe
from lib.vggt.cameras import decode_pose, encode_pose, invert_pose, unproject_depth
from lib.vggt.config import CameraHeadConfig, DenseHeadConfig, PatchEmbedConfig, TrackHeadConfig, VGGTConfig
from lib.vggt.layers import AttentionEvent
from lib.vggt.model import VGGT, Prediction

__all__ = [
    "VGGT",
    "AttentionEvent",
    "CameraHeadConfig",
    "DenseHeadConfig",
    "ForwardReport",
    "PatchEmbedConfig",
    "Prediction",
    "Probe",
    "TrackHeadConfig",
    "VGGTConfig",
    "decode_pose",
    "encode_pose",
    "invert_pose",
    "unproject_depth",
]
