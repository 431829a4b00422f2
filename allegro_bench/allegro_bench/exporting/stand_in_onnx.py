"""Stand-in for the package onnx on machines without it: reads what the interpreters of a policy need, and no more.

A graph is a protocol buffer: fields with a number and a kind, one after another. The tables below name those of ONNX
that occur in policies; fields that they do not name are skipped. Graphs were checked with onnx when they were packed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
Fields = dict[int, tuple[str, Any, bool]]
INT, FLOAT, DOUBLE, TEXT, RAW = 'int', 'float', 'double', 'text', 'raw'


class Message:
    """One message; fields that are absent have the default of their kind, repeated ones an empty list."""

    FIELDS: ClassVar[Fields] = {}
    """Number of a field to its name, its kind (one of the above, or a class) and whether it repeats."""

    def __init__(self, data: memoryview | bytes = b'') -> None:
        """Read the bytes of a message.

        Raises:
            ValueError: they end too early, or are none.
        """
        defaults: dict[Any, Any] = {INT: 0, FLOAT: 0.0, DOUBLE: 0.0, TEXT: '', RAW: b''}
        for name, kind, repeats in self.FIELDS.values():
            setattr(self, name, [] if repeats else defaults[kind] if isinstance(kind, str) else kind())
        for number, wire, value in _fields(memoryview(data)):
            if number not in self.FIELDS:
                continue
            name, kind, repeats = self.FIELDS[number]
            values = list(_packed(kind, value)) if wire == _BYTES and kind in (INT, FLOAT, DOUBLE) else [
                _value(kind, wire, value)]
            if repeats:
                getattr(self, name).extend(values)
            else:
                setattr(self, name, values[-1])

    def __getattr__(self, name: str) -> Any:
        """For type checkers: fields are set by name."""
        raise AttributeError(name)


def _fields(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        value: Any
        if wire == _VARINT:
            value, at = _varint(data, at)
        else:
            size = 8 if wire == _FIXED64 else 4 if wire == _FIXED32 else None
            if wire == _BYTES:
                size, at = _varint(data, at)
            if size is None or at + size > len(data):
                raise ValueError('not a graph, or cut off')
            value, at = data[at:at + size], at + size
        yield number, wire, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError('not a graph, or cut off')


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _value(kind: Any, wire: int, value: Any) -> Any:
    if wire != {INT: _VARINT, FLOAT: _FIXED32, DOUBLE: _FIXED64}.get(kind, _BYTES):
        raise ValueError('a field of another kind than it should be')
    if kind == INT:
        return _signed(value)
    if kind in (FLOAT, DOUBLE):
        return struct.unpack('<f' if kind == FLOAT else '<d', value)[0]
    if kind == TEXT:
        return bytes(value).decode()
    return bytes(value) if kind == RAW else kind(value)


def _packed(kind: str, data: memoryview) -> Iterator[Any]:
    if kind != INT:
        yield from np.frombuffer(data, '<f4' if kind == FLOAT else '<f8').tolist()
        return
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield _signed(value)


class TensorProto(Message):
    """Constants."""

    FIELDS: ClassVar[Fields] = {
        1: ('dims', INT, True), 2: ('data_type', INT, False), 4: ('float_data', FLOAT, True),
        5: ('int32_data', INT, True), 7: ('int64_data', INT, True), 8: ('name', TEXT, False),
        9: ('raw_data', RAW, False), 10: ('double_data', DOUBLE, True), 11: ('uint64_data', INT, True)}
    FLOAT, FLOAT16, DOUBLE, BFLOAT16 = 1, 10, 11, 16


class AttributeProto(Message):
    """An attribute of a node."""

    FIELDS: ClassVar[Fields] = {
        1: ('name', TEXT, False), 2: ('f', FLOAT, False), 3: ('i', INT, False), 4: ('s', RAW, False),
        5: ('t', TensorProto, False), 7: ('floats', FLOAT, True), 8: ('ints', INT, True), 9: ('strings', RAW, True),
        10: ('tensors', TensorProto, True), 20: ('type', INT, False)}
    FLOAT, INT, STRING, TENSOR, FLOATS, INTS, STRINGS, TENSORS = 1, 2, 3, 4, 6, 7, 8, 9


class NodeProto(Message):
    """A node."""

    FIELDS: ClassVar[Fields] = {
        1: ('input', TEXT, True), 2: ('output', TEXT, True), 3: ('name', TEXT, False),
        4: ('op_type', TEXT, False), 5: ('attribute', AttributeProto, True), 7: ('domain', TEXT, False)}


class ValueInfoProto(Message):
    """An input or output; its shape is in the report of the graph."""

    FIELDS: ClassVar[Fields] = {1: ('name', TEXT, False)}


class GraphProto(Message):
    """The graph."""

    FIELDS: ClassVar[Fields] = {
        1: ('node', NodeProto, True), 2: ('name', TEXT, False), 5: ('initializer', TensorProto, True),
        11: ('input', ValueInfoProto, True), 12: ('output', ValueInfoProto, True)}


class OperatorSetIdProto(Message):
    """Domain and version of a set of operators."""

    FIELDS: ClassVar[Fields] = {1: ('domain', TEXT, False), 2: ('version', INT, False)}


class ModelProto(Message):
    """The file."""

    FIELDS: ClassVar[Fields] = {
        1: ('ir_version', INT, False), 7: ('graph', GraphProto, False),
        8: ('opset_import', OperatorSetIdProto, True)}


_TYPES = {1: 'f4', 2: 'u1', 3: 'i1', 4: 'u2', 5: 'i2', 6: 'i4', 7: 'i8', 9: '?', 10: 'f2', 11: 'f8', 12: 'u4', 13: 'u8'}
_STORED = {1: 'float_data', 7: 'int64_data', 11: 'double_data', 12: 'uint64_data', 13: 'uint64_data'}
"""Where values stand that are not raw; whatever is not named here, in ``int32_data``."""


def load_model_from_string(data: bytes) -> ModelProto:
    """Read the bytes of a file.

    Raises:
        ValueError: they are no graph.
    """
    return ModelProto(data)


def _dtype(code: int) -> np.dtype[Any]:
    if code not in _TYPES:
        raise ValueError(f'constants of the type {code} need the package onnx')
    return np.dtype('<' + _TYPES[code])


def _to_array(tensor: Any) -> NDArray[Any]:
    dtype = _dtype(tensor.data_type)
    if tensor.raw_data:
        flat = np.frombuffer(tensor.raw_data, dtype)
    else:
        stored = getattr(tensor, _STORED.get(tensor.data_type, 'int32_data'))
        # Half precision stands as its bits.
        flat = np.array(stored, np.uint16).view(dtype) if dtype == np.float16 else np.array(stored).astype(dtype)
    made: NDArray[Any] = np.array(flat.reshape(tensor.dims), dtype=dtype.newbyteorder('='))
    return made


def _attribute_value(attribute: Any) -> Any:
    kinds = {AttributeProto.FLOAT: 'f', AttributeProto.INT: 'i', AttributeProto.STRING: 's', AttributeProto.TENSOR: 't',
             AttributeProto.FLOATS: 'floats', AttributeProto.INTS: 'ints', AttributeProto.STRINGS: 'strings',
             AttributeProto.TENSORS: 'tensors'}
    if attribute.type not in kinds:
        raise ValueError(f'attribute {attribute.name} is of a kind that policies do not have')
    return getattr(attribute, kinds[attribute.type])


helper = SimpleNamespace(get_attribute_value=_attribute_value, tensor_dtype_to_np_dtype=_dtype)
numpy_helper = SimpleNamespace(to_array=_to_array)
