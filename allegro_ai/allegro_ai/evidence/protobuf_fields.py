"""Random changes of any protobuf message: scalars, texts, bytes, repeated fields, messages removed, copied, swapped."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor  # type: ignore[import-untyped, unused-ignore]

_OPERATORS = ('Add', 'Sub', 'Div', 'Tanh', 'If', 'Loop', 'RandomNormal', 'Expand', 'Tile', 'ConstantOfShape', 'Range',
              'MatMul', 'Concat', 'Identity', 'NoSuch', 'Conv', 'Gather', 'Pad', 'Softmax', '')
_TEXTS = ('', 'x', 'action', 'com.example', 'ai.onnx', '../../secret', 'batch', 'é')
_INTEGERS = (0, 1, 2, -1, 3, 7, 16, 17, 255, 2 ** 31 - 1, -2 ** 31)
_LONG = (2 ** 40, 2 ** 62, -2 ** 63)
_REALS = (0.0, 1.0, -1.0, 1e30, math.nan, math.inf)


def change_message(message: Any, dice: Random) -> None:
    """Change something in ``message`` or below it; rarely nothing."""
    node = message
    while True:
        fields = node.ListFields()
        inner = [(f, v) for f, v in fields if f.type == FieldDescriptor.TYPE_MESSAGE and (not _repeated(f) or len(v))]
        if not inner or dice.random() < 0.25:
            break
        field, value = dice.choice(inner)
        if _repeated(field) and dice.random() < 0.1:
            _change_list(value, dice)
            return
        node = dice.choice(list(value)) if _repeated(field) else value
    fields = [f for f in node.DESCRIPTOR.fields if f.type != FieldDescriptor.TYPE_MESSAGE]
    present = [f for f, _ in node.ListFields() if f.type != FieldDescriptor.TYPE_MESSAGE]
    if not fields:
        return
    field = dice.choice(present if present and dice.random() < 0.8 else fields)
    if _repeated(field):
        values = getattr(node, field.name)
        if len(values) and dice.random() < 0.4:
            del values[dice.randrange(len(values))]
        elif len(values) and dice.random() < 0.7:
            values[dice.randrange(len(values))] = _value(field, values[0], dice)
        else:
            values.append(_value(field, None, dice))
    elif dice.random() < 0.15:
        node.ClearField(field.name)
    else:
        setattr(node, field.name, _value(field, getattr(node, field.name), dice))


def _repeated(field: Any) -> bool:
    return bool(field.is_repeated)


def _change_list(values: Any, dice: Random) -> None:
    """Messages removed, repeated or exchanged."""
    at, other = dice.randrange(len(values)), dice.randrange(len(values))
    way = dice.randrange(3)
    if way == 0:
        del values[at]
    elif way == 1:
        values.add().CopyFrom(values[at])
    else:
        kept = type(values[at])()
        kept.CopyFrom(values[at])
        values[at].CopyFrom(values[other])
        values[other].CopyFrom(kept)


def _value(field: Any, old: Any, dice: Random) -> Any:
    kind = field.type
    if kind == FieldDescriptor.TYPE_STRING:
        return dice.choice(_OPERATORS) if field.name == 'op_type' else dice.choice((*_TEXTS, (old or '') + 'x'))
    if kind == FieldDescriptor.TYPE_BYTES:
        data = bytearray(old or b'\0' * 8)
        way = dice.randrange(3)
        if way == 0 and data:
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        elif way == 1:
            data = data[:dice.randrange(len(data) + 1)]
        else:
            data += dice.randbytes(4)
        return bytes(data)
    if kind in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        return dice.choice((*_REALS, (old or 0.0) * 1.5))
    if kind == FieldDescriptor.TYPE_ENUM:
        return dice.choice([v.number for v in field.enum_type.values])
    if kind == FieldDescriptor.TYPE_BOOL:
        return not old
    if kind in (FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_UINT32):
        return abs(dice.choice(_INTEGERS))
    if kind == FieldDescriptor.TYPE_INT64:
        return dice.choice((*_INTEGERS, *_LONG, min((old or 0) + 1, 2 ** 62)))
    return dice.choice(_INTEGERS)
