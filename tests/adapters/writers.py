"""Logs as the tools write them, in a few lines each: the bytes of TensorBoard's and W&B's files, and tables."""

import csv
import io
import json
import math
import struct
import zlib


def table(rows, columns=None, separator=","):
    """What `csv.DictWriter` makes of rows that do not all have the same columns."""
    columns = columns or list(dict.fromkeys(key for row in rows for key in row))
    to = io.StringIO()
    writer = csv.DictWriter(to, columns, delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    return to.getvalue()


def falling(n, start=2.0, level=0.2, pace=0.05):
    return [level + start * math.exp(-pace * i) for i in range(n)]


def lightning(epochs=10):
    """Lightning's CSVLogger: sorted columns, a row for each call of `log`, the step counted from 0."""
    rows, losses = [], falling(4 * epochs)
    for i, loss in enumerate(losses):
        step = 50 * i + 49
        rows += [{"lr-Adam": 1e-3, "step": step}, {"epoch": i // 4, "step": step, "train_loss_step": loss}]
        if i % 4 == 3:
            rows.append({"epoch": i // 4, "step": step, "val_acc": 0.5 + i / 100, "val_loss": loss + 0.1})
            rows.append({"epoch": i // 4, "step": step, "train_loss_epoch": loss})
    return table(rows, sorted({key for row in rows for key in row}))


def keras(epochs=20):
    """Keras's CSVLogger: a row an epoch, counted from 0, and `NA` where there was no validation."""
    rows = [
        {
            "epoch": i,
            "accuracy": 0.5,
            "loss": loss,
            "val_accuracy": 0.6,
            "val_loss": "NA" if i == 3 else loss + 0.1,
        }
        for i, loss in enumerate(falling(epochs))
    ]
    return table(rows)


def trainer_state(logs=40, every=10):
    """The Hugging Face Trainer's state, with the summary of the run as its last entry."""
    history = []
    for i, loss in enumerate(falling(logs), 1):
        where = {"epoch": i * every / 100, "step": i * every}
        history.append({"grad_norm": 1.5, "learning_rate": 1e-4 * (1 - i / logs), "loss": loss} | where)
        if i % 5 == 0:
            history.append({"eval_accuracy": 0.7, "eval_loss": loss + 0.1, "eval_runtime": 3.2} | where)
    history.append(
        {"epoch": logs * every / 100, "step": logs * every, "train_loss": 9.9, "train_runtime": 60.0}
    )
    state = {
        "global_step": logs * every,
        "max_steps": logs * every,
        "num_train_epochs": 4,
        "log_history": history,
    }
    return json.dumps(state, indent=2)


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number, content):
    """A field of a protocol buffer: an integer, or anything whose length stands before it."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def crc32c(data):
    """Bit by bit, as the polynomial says."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data):
    size = struct.pack("<Q", len(data))
    return size + masked(size) + data + masked(data)


def event(step, *values, wall=1.7e9):
    summary = (
        field(5, b"".join(field(1, value) for value in values)) if values else field(3, b"brain.Event:2")
    )
    return b"\x09" + struct.pack("<d", wall) + (field(2, step) if step else b"") + summary


def simple(tag, number):
    """A scalar as PyTorch's SummaryWriter writes it."""
    return field(1, tag.encode()) + b"\x15" + struct.pack("<f", number)


def tensor(tag, number, form="content"):
    """A scalar as TensorFlow 2 (`content`) and PyTorch's `new_style` (`float_val`) write it."""
    value = b"\x22\x04" if form == "content" else b"\x2a\x04"
    scalar = field(1, field(1, b"scalars"))
    return (
        field(1, tag.encode())
        + field(8, field(1, 1) + field(2, b"") + value + struct.pack("<f", number))
        + field(9, scalar)
    )


def events(*told):
    """An event file: the version, and one event for each (step, tag, number) or (step, value)."""
    values = [event(t[0], t[1] if len(t) == 2 else simple(t[1], t[2])) for t in told]
    return b"".join(record(data) for data in (event(0), *values))


def wandb(rows, nested=False, block=32 * 1024):
    """The `.wandb` file of an offline run, records cut where a block of 32 KiB ends."""
    out = bytearray(struct.pack("<4sHB", b":W&B", 0xBEE1, 0))
    for step, row in enumerate(rows):
        key = 2 if nested else 1
        items = b"".join(
            field(1, field(key, name.encode()) + field(16, json.dumps(value).encode()))
            for name, value in row.items()
        )
        data = field(1, step) + field(2, items + field(2, field(1, step)))
        first = True
        while first or data:
            left = block - len(out) % block
            if left < 7:
                out += bytes(left)
                continue
            part, data = data[: left - 7], data[left - 7 :]
            kind = (1 if not data else 2) if first else (4 if not data else 3)
            out += struct.pack("<IHB", zlib.crc32(part, zlib.crc32(bytes([kind]))), len(part), kind) + part
            first = False
    return bytes(out)
