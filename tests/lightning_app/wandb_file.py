"""Reads an offline W&B run file; the W&B client for Python has no reader of its own any more."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FILE_HEADER, _RECORD_HEADER, _BLOCK = 7, 7, 32 * 1024
_FULL, _LAST = 1, 4


def records(content: bytes) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format, behind W&B's file header.

    Every record has checksum (4 bytes), length (2), kind (1); those that cross a block of 32 KiB come in parts.
    """
    assert content[:4] == b":W&B"
    place, parts = _FILE_HEADER, b""
    while place + _RECORD_HEADER <= len(content):
        if _BLOCK - place % _BLOCK < _RECORD_HEADER:
            place += _BLOCK - place % _BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        place += _RECORD_HEADER
        parts += content[place : place + length]
        place += length
        if kind in (_FULL, _LAST):
            yield parts
            parts = b""


def nested(items: Any) -> dict[str, Any]:
    """What was logged at once, by name; media are dictionaries."""
    row: dict[str, Any] = {}
    for item in items:
        value = json.loads(item.value_json)
        if len(item.nested_key) > 1:
            row.setdefault(item.nested_key[0], {})[item.nested_key[1]] = value
        else:
            row[item.key or item.nested_key[0]] = value
    return row


def read_wandb(run: Path) -> dict[str, Any]:
    """What is in the only offline W&B run in a run's folder, see `read_wandb_file`."""
    (file,) = wandb_files(run)
    return read_wandb_file(file)


def wandb_files(run: Path) -> list[Path]:
    """The files of the offline W&B runs in a run's folder, the earliest first."""
    return sorted(run.glob("wandb/offline-run-*/run-*.wandb"))


def read_wandb_file(file: Path) -> dict[str, Any]:
    """The description, config, history, summary, kinds of media and artifacts (files by path) of an offline W&B run."""
    from wandb.proto import wandb_internal_pb2

    config: dict[str, Any] = {}
    history: list[dict[str, Any]] = []
    summary: dict[str, Any] = {}
    run: Any = None
    artifacts: list[Any] = []
    for data in records(file.read_bytes()):
        record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
        record.ParseFromString(data)
        for item in [*record.run.config.update, *record.config.update]:
            config[item.key or item.nested_key[0]] = json.loads(item.value_json)
        if record.HasField("history"):
            history.append(nested(record.history.item))
        if record.HasField("run"):
            run = record.run
        if record.HasField("artifact"):
            artifacts.append(record.artifact)
        for item in record.summary.update:
            summary[item.key or item.nested_key[0]] = json.loads(item.value_json)
    media = {
        name: value
        for row in history
        for name, value in row.items()
        if isinstance(value, dict) and "_type" in value and "path" in value
    }
    return {
        "run": run,
        "config": config,
        "history": history,
        "summary": summary,
        "media": media,
        "artifacts": artifacts,
        "folder": file.parent,
    }
