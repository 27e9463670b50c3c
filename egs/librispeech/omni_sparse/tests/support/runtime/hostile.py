# SPDX-License-Identifier: Apache-2.0
"""Headers of version 2 that no reader may take, as changes to one that is good.

What is changed needs to have values of its own of its second sub-network, of layers and tensors.
"""

from __future__ import annotations


def _own(text: dict) -> tuple[str, dict[str, str]]:
    subnet = list(text["subnets"])[1]
    return subnet, text["own"][subnet]


def _stored(text: dict, kind: str) -> list[tuple[str, str]]:
    """Parts of a kind (layers or tensors) that have values of their own, and what these are."""
    names = {part[0] for part in text[kind]}
    return [pair for pair in _own(text)[1].items() if pair[0] in names]


def _bands(text: dict, name: str, number: int) -> None:
    place = [layer[0] for layer in text["layers"]].index(name)
    text["subnets"][_own(text)[0]][place] = number


def _unknown_subnet(text):
    text["own"]["none"] = {}


def _unknown_part(text):
    _own(text)[1]["none"] = _stored(text, "layers")[0][1]


def _unknown_stored(text):
    _own(text)[1][_stored(text, "layers")[0][0]] = "none"


def _layer_for_tensor(text):
    _own(text)[1][_stored(text, "tensors")[0][0]] = _stored(text, "layers")[0][1]


def _other_rows(text):
    name = _stored(text, "layers")[0][1]
    next(layer for layer in text["layers"] if layer[0] == name)[1] -= 1


def _other_shape(text):
    name = _stored(text, "tensors")[0][1]
    next(tensor for tensor in text["tensors"] if tensor[0] == name)[2].append(1)


def _of_two(text):
    (_, stored), (name, _) = _stored(text, "tensors")[:2]
    shape = {tensor[0]: tensor for tensor in text["tensors"]}
    shape[name][1:] = shape[stored][1:]
    _own(text)[1][name] = stored


def _circle(text):
    name, stored = _stored(text, "tensors")[0]
    _own(text)[1][stored] = name


def _itself(text):
    name, _ = _stored(text, "tensors")[0]
    _own(text)[1][name] = name


def _used_without_bands(text):
    _bands(text, _stored(text, "layers")[0][1], 0)


def _bands_of_another(text):
    _bands(text, _stored(text, "layers")[0][0], 1)


def _more_bands(text):
    _bands(text, _stored(text, "layers")[0][1], 99)


def _no_object(text):
    text["own"][_own(text)[0]] = []


def _no_name(text):
    _own(text)[1][_stored(text, "layers")[0][0]] = 7


#: What is changed, and what is said of it by the readers in Python and C.
HOSTILE = {
    "values of an unknown sub-network": (_unknown_subnet, "'none', which is no sub-network"),
    "values of an unknown part": (_unknown_part, "'none', which is none of its parts"),
    "values that are not there": (_unknown_stored, "'none', which is none of its parts"),
    "a layer for a tensor": (_layer_for_tensor, "is of another form than"),
    "a layer of other rows": (_other_rows, "is of another form than|bytes at"),
    "a tensor of another shape": (_other_shape, "is of another form than"),
    "values of two parts": (_of_two, "stands for two parts"),
    "values in a circle": (_circle, "stands for a part, and others for it"),
    "a part for itself": (_itself, "stands for a part, and others for it"),
    "no band of a layer that is used": (_used_without_bands, "uses 0 bands of"),
    "bands of another's layer": (_bands_of_another, "uses 1 bands of"),
    "more bands than there are": (_more_bands, "no whole number from 0 to"),
    "values that are no object": (_no_object, "is no dict|are of another form"),
    "a name that is no text": (_no_name, "is no str|are of another form"),
    "nothing of values": (lambda text: text.pop("own"), "'own'|it lacks a part"),
}
