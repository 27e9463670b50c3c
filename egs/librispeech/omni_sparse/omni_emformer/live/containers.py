# SPDX-License-Identifier: Apache-2.0
"""What kind of sound file some first bytes are of."""

from __future__ import annotations

HEAD = 12  # bytes that tell all kinds but streams of frames

_WHOLE = (
    b"fLaC", b"OggS", b"ID3", b"RF64", b"RIFX", b"FORM", b"caff", b".snd", b"riff", b"NIST_1A",
    b"Creative Voi", b"PVF1", b" paf", b"fap ", b"2BIT", b"MATLAB", b"\x64\xa3",
)  # fmt: skip
_REFUSED = {
    b"\x1aE\xdf\xa3": "WebM or Matroska", b"#!AMR": "AMR", b"0&\xb2u": "WMA", b"wvpk": "WavPack",
    b"PK\x03\x04": "a zip archive", b"\x1f\x8b": "gzip", b"RIFF": "RIFF, but no wav",
}  # fmt: skip
# Kilobits a second of layer III by the header's index, of MPEG 1 and of MPEG 2.
_BITRATES = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_RATES = (44100, 48000, 32000)


def is_read_whole(head: bytes) -> bool:
    """Whether soundfile reads this kind, from a file that can be searched."""
    return head.startswith(_WHOLE)


def refused_kind(head: bytes) -> str:
    """What nobody here reads, by its name; empty if it is none of these."""
    for begin, kind in _REFUSED.items():
        if head.startswith(begin):
            return kind
    if head[4:8] == b"ftyp":
        return "MP4"
    text = len(head) == HEAD and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    return "text" if text else ""


def may_be_frames(head: bytes) -> bool:
    """Whether MPEG audio may begin so, as plain PCM may, too: :func:`frames_kind` tells."""
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0


def frames_kind(data: bytes) -> str:
    """``mp3`` or ``aac`` where a frame of it is followed by another one; else empty.

    The frames' lengths are those of ISO/IEC 11172-3 (layer III) and 13818-7 (ADTS).
    """
    if len(data) < 6:
        return ""
    if data[1] & 0xF6 == 0xF0:
        length = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
        again = data[length : length + 2]
        return "aac" if length > 7 and again == data[:2] else ""
    version, layer = data[1] >> 3 & 3, data[1] >> 1 & 3
    rate, index = data[2] >> 2 & 3, data[2] >> 4
    if version == 1 or layer != 1 or rate == 3 or not 0 < index < 15:
        return ""
    old = version != 3  # MPEG 2, or 2.5 at half its rates
    hertz = _RATES[rate] >> (0 if version == 3 else 1 if version == 2 else 2)
    length = (72 if old else 144) * 1000 * _BITRATES[old][index] // hertz + (data[2] >> 1 & 1)
    again = data[length : length + 3]
    same = len(again) == 3 and again[:2] == data[:2] and again[2] & 0x0C == data[2] & 0x0C
    return "mp3" if same else ""
