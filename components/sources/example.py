"""``tf.train.Example`` without TensorFlow: its messages, declared anew.

Source: https://github.com/tensorflow/tensorflow, tensorflow/core/example/{example,feature}.proto.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

_FIELD = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "tensorflow"


def parse(data: bytes) -> dict[str, list[bytes] | list[int] | list[float]] | None:
    """Reads an Example: its features' values by their names; None where these bytes are none."""
    example = _Example()
    try:
        example.ParseFromString(data)
    except message.DecodeError:
        return None
    return {name: _values(feature) for name, feature in example.features.feature.items()}


def _values(feature: Any) -> list:
    kind = feature.WhichOneof("kind")
    return list(getattr(feature, kind).value) if kind else []


def _declare() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="example.proto", package=_PACKAGE, syntax="proto3"
    )
    kinds = {"bytes": _FIELD.TYPE_BYTES, "float": _FIELD.TYPE_FLOAT, "int64": _FIELD.TYPE_INT64}
    feature = descriptor_pb2.DescriptorProto(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (kind, scalar) in enumerate(kinds.items(), 1):
        name = f"{kind.capitalize()}List"
        values = file.message_type.add(name=name)
        values.field.add(name="value", number=1, type=scalar, label=_FIELD.LABEL_REPEATED)
        one = feature.field.add(name=f"{kind}_list", number=number, label=_FIELD.LABEL_OPTIONAL)
        one.type, one.type_name, one.oneof_index = _FIELD.TYPE_MESSAGE, _named(name), 0
    file.message_type.append(feature)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
    _message(entry, "value", 2, "Feature")
    _message(features, "feature", 1, "Features.FeatureEntry", _FIELD.LABEL_REPEATED)
    _message(file.message_type.add(name="Example"), "features", 1, "Features")
    return file


def _message(
    of: descriptor_pb2.DescriptorProto,
    name: str,
    number: int,
    kind: str,
    label: Any = _FIELD.LABEL_OPTIONAL,
) -> None:
    of.field.add(
        name=name, number=number, label=label, type=_FIELD.TYPE_MESSAGE, type_name=_named(kind)
    )


def _named(kind: str) -> str:
    return f".{_PACKAGE}.{kind}"


# A pool of its own: where TensorFlow is imported too, its Example is in the common one.
_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_declare())
_Example = message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.Example"))
