"""Read and write VGGT weights: local safetensors, local pickles without code, or a Hugging Face hub id.

A model that `load` returns has every weight from the file: it is built without storage, the file's tensors
are assigned, and anything missing, left over, misshapen or not finite is an error of its own class.
"""

from __future__ import annotations

import json
import os
import pickle
import pickletools
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lib.vggt.config import VGGTConfig
from lib.vggt.foreign import HEADS, INDEX, bare_names, found_config, in_place_of_weights, inside, unwrapped
from lib.vggt.model import VGGT

SAFETENSORS = (".safetensors",)
PICKLES = (".pt", ".pth", ".ckpt", ".bin")
HUB_FILE = "model.safetensors"  # the name VGGT-1B has on the hub
SHOWN = 5  # keys listed in a message; the rest is counted


class CheckpointError(Exception):
    """Anything that keeps a checkpoint from becoming a model."""


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """No such file, and not a hub id either."""


class HubError(CheckpointError):
    """The hub cannot be asked (package absent, offline) or does not have the weights."""


class CorruptCheckpointError(CheckpointError):
    """The file is truncated or not in the format that its name promises."""


class UnsafeCheckpointError(CheckpointError):
    """A pickle that asks for more than tensors, that is, for code to run. It was not run."""


class NotAStateDictError(CheckpointError):
    """The file was read but does not hold a mapping from names to floating point tensors."""


class CheckpointConfigError(CheckpointError):
    """The configuration inside the file is not one of this library's."""


class MissingKeysError(CheckpointError):
    """Parameters of the model that the file does not hold."""


class SurplusKeysError(CheckpointError):
    """Tensors in the file that the model has no place for."""


class ShapeMismatchError(CheckpointError):
    """Tensors whose shape is not that of the parameter."""


class NonFiniteError(CheckpointError):
    """Weights that are NaN or infinite."""


def load(
    source: str | os.PathLike[str],
    config: VGGTConfig | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> VGGT:
    """A VGGT in eval mode with the weights of ``source``.

    source: a local .safetensors, .pt, .pth, .ckpt or .bin file, the .index.json of a sharded one, a folder
    with one of these, or a hub id such as "facebook/VGGT-1B" (needs the optional package huggingface_hub).
    config: None takes the one stored in the file, else VGGT-1B's without the heads that the file lacks;
    given, heads that it leaves out are skipped in the file. dtype: of the parameters, None for float32
    whatever is stored.
    CheckpointError: a subclass of it, named after what is wrong.
    """
    path = resolve(source)
    weights, stored = _read(path, torch.device(device))
    weights = bare_names(weights)
    if config is None:
        config = _stored_config(stored, path) if "config" in stored else found_config(weights, path)
    else:
        weights = _without_absent_heads(weights, config)
    with torch.device("meta"):
        model = VGGT(config)
    _check_names_and_shapes(weights, model.state_dict(), path)
    _check_finite(weights, str(path))
    target = torch.float32 if dtype is None else dtype
    model.load_state_dict({name: value.to(target) for name, value in weights.items()}, assign=True)
    tensors = [*model.named_parameters(), *model.named_buffers()]
    if empty := [name for name, value in tensors if value.is_meta]:
        raise MissingKeysError(f"{path} left {_some(empty)} without values")
    return model.to(device).eval()


def save(
    model: VGGT,
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write weights, configuration and ``metadata`` (any JSON) to a .safetensors file, atomically.

    dtype: storage type such as torch.bfloat16, None for the model's own.

    Raises:
        ValueError: another suffix.
        NonFiniteError: weights that are NaN or infinite, cast included.
    """
    path = Path(path)
    if path.suffix not in SAFETENSORS:
        raise ValueError(f"weights are saved as .safetensors, got {path.name!r}")
    weights = {}
    for name, value in model.state_dict().items():
        weights[name] = value.detach().to("cpu", dtype or value.dtype).contiguous()
    _check_finite(weights, "the model")
    header = {"config": json.dumps(model.config.to_dict()), "metadata": json.dumps(dict(metadata or {}))}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(weights, temporary, metadata=header)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The metadata given to `save`; empty for a file of other origin.

    CheckpointError: as `load`.
    """
    path = resolve(path)
    if path.suffix not in SAFETENSORS:
        raise CorruptCheckpointError(f"{path} is not a .safetensors file: only those carry metadata")
    header = _safetensors_header(path)
    metadata: dict[str, Any] = json.loads(header.get("metadata", "{}"))
    return metadata


def resolve(source: str | os.PathLike[str]) -> Path:
    """Local path of a checkpoint; a hub id is downloaded (or found in the hub's own cache) first.

    CheckpointError: nothing there, no hub, or a file of unknown suffix.
    """
    path = Path(source)
    if path.is_dir():
        path = inside(path)
    if path.is_file():
        if not path.name.endswith((*SAFETENSORS, *PICKLES, INDEX)):
            raise CorruptCheckpointError(f"{path} has an unknown suffix; known: {SAFETENSORS + PICKLES}")
        return path
    looks_local = path.exists() or path.suffix in SAFETENSORS + PICKLES
    if isinstance(source, str) and not looks_local and re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", source):
        return _download(source)
    raise CheckpointNotFoundError(
        f"no checkpoint at {str(source)!r}; give a .safetensors, .pt or .pth file, or a hub id such as "
        "'facebook/VGGT-1B'"
    )


def _download(repository: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise HubError(
            f"{repository!r} is no local file, and reading it from the hub needs an optional package: "
            "pip install huggingface_hub"
        ) from error
    try:
        return Path(hf_hub_download(repository, HUB_FILE))
    except Exception as error:  # the hub's own, its HTTP library's and the system's: all mean "not to be had"
        raise HubError(
            f"{repository!r} is no local file, and {HUB_FILE} cannot be had from the hub "
            f"({type(error).__name__}: {error}); check the name and the connection, or download the file "
            "by hand and give its path"
        ) from error


def _read(path: Path, device: torch.device) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and header strings of a file, or of all shards that it lists."""
    if instead := in_place_of_weights(path):
        raise CorruptCheckpointError(f"{path} is {instead}")
    if path.name.endswith(INDEX):
        parts = [_read(shard, device)[0] for shard in _shards(path)]
        weights, header = {name: value for part in parts for name, value in part.items()}, {}
    elif path.suffix in SAFETENSORS:
        header = _safetensors_header(path)
        with safe_open(path, framework="pt", device=str(device)) as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    else:
        weights, header = _read_pickle(path, device), {}
    if not weights or not all(value.is_floating_point() for value in weights.values()):
        odd = [name for name, value in weights.items() if not value.is_floating_point()]
        raise NotAStateDictError(f"{path} holds {'no tensors' if not odd else f'integers in {_some(odd)}'}")
    return weights, header


def _safetensors_header(path: Path) -> dict[str, str]:
    sys.audit("open", str(path), "rb", os.O_RDONLY)  # safetensors opens files without Python
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise CorruptCheckpointError(
            f"{path} ({path.stat().st_size} bytes) is truncated or no safetensors file ({error}); "
            "download or copy it again"
        ) from error


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        shards = [index.with_name(name) for name in names]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptCheckpointError(
            f"{index} is not the list of a sharded checkpoint ({error!r})"
        ) from error
    if absent := [shard.name for shard in shards if not shard.is_file()]:
        raise CheckpointNotFoundError(
            f"{index} lists {_some(absent)}, not there beside it; download the rest"
        )
    return shards


def _read_pickle(path: Path, device: torch.device) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        if "global" in str(error).lower() or _names_globals(path):
            raise UnsafeCheckpointError(
                f"{path} contains more than tensors and was not loaded, because that can run code; "
                "convert it to .safetensors where you trust its origin"
            ) from error
        raise CorruptCheckpointError(f"{path} is no readable pickle; download or copy it again") from error
    except Exception as error:  # a damaged pickle makes every kind of error
        why = str(error).partition("\n")[0] or type(error).__name__
        raise CorruptCheckpointError(f"{path} is truncated or no PyTorch file ({why})") from error
    content = unwrapped(content)
    if not isinstance(content, dict):
        raise NotAStateDictError(
            f"{path} holds a {type(content).__name__}, not a mapping of names to tensors"
        )
    odd = [str(k) for k, value in content.items() if not (isinstance(k, str) and isinstance(value, Tensor))]
    if odd:
        raise NotAStateDictError(f"{path} holds entries that are not named tensors: {_some(odd)}")
    return content


def _names_globals(path: Path) -> bool:
    """Whether a bare pickle asks for a class or function; its instructions are read, never followed."""
    try:
        with path.open("rb") as stream:
            return any(
                "GLOBAL" in code.name or code.name == "INST" for code, _, _ in pickletools.genops(stream)
            )
    except (ValueError, MemoryError):  # not a pickle at all, or one that claims more than there can be
        return False


def _stored_config(header: Mapping[str, str], path: Path) -> VGGTConfig:
    """The configuration in the header."""
    try:
        return VGGTConfig.from_dict(json.loads(header["config"]))
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointConfigError(f"{path} carries a configuration that does not fit: {error}") from error


def _without_absent_heads(weights: dict[str, Tensor], config: VGGTConfig) -> dict[str, Tensor]:
    absent = tuple(f"{head}." for head in HEADS if getattr(config, head) is None)
    return {name: value for name, value in weights.items() if not name.startswith(absent)}


def _check_names_and_shapes(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: Path) -> None:
    hint = "is the config that of this file? A head can be left out with e.g. track_head=None"
    if re.search(r"-\d+-of-\d+", path.name):
        hint = f"it is one part of several: give the {INDEX} file that lists them"
    if missing := [name for name in wanted if name not in weights]:
        raise MissingKeysError(f"{path} lacks {_some(missing)} of the model's {len(wanted)} tensors; {hint}")
    if surplus := [name for name in weights if name not in wanted]:
        raise SurplusKeysError(f"{path} has {_some(surplus)} that the model has no place for; {hint}")
    wrong = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(value.shape)}"
        for name, value in wanted.items()
        if weights[name].shape != value.shape
    ]
    if wrong:
        raise ShapeMismatchError(f"{path} has other sizes than the config: {_some(wrong)}")


def _check_finite(weights: Mapping[str, Tensor], owner: str) -> None:
    if bad := [name for name, value in weights.items() if not bool(torch.isfinite(value).all())]:
        raise NonFiniteError(f"{owner} has NaN or infinite values in {_some(bad)}")


def _some(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest
