"""Golden values of preprocessing: what Pillow's bilinear filter and its grey make of pseudo-random pictures.

Needs Pillow. Writes resize.safetensors beside itself: for each case a tensor `WxH-wxh` of shape (h, w, 3), the picture
of W by H brought to w by h, and `luma` of shape (16, 16), the grey of a picture of 16 by 16.
The pictures are not stored: byte i is the top byte of the i-th state of a linear congruential generator.
"""

import json
import pathlib
import struct

from PIL import Image

CASES = [
    ((40, 30), (24, 18)), ((61, 47), (96, 74)), ((7, 5), (32, 23)), ((500, 375), (48, 36)), ((33, 200), (10, 64)),
    ((1, 1), (5, 7)), ((3, 90), (64, 9)), ((64, 64), (64, 40)), ((64, 64), (40, 64)), ((101, 50), (64, 32)),
    ((257, 129), (56, 28)), ((1000, 3), (20, 16)), ((2, 2), (9, 9)), ((30, 30), (30, 30)),
]


def picture(width, height, seed):
    state, data = seed, bytearray()
    for _ in range(width * height * 3):
        state = (state * 1664525 + 1013904223) % 2**32
        data.append(state >> 24)
    return Image.frombytes("RGB", (width, height), bytes(data))


def save(path, tensors):
    header, data = {}, b""
    for name, (shape, raw) in tensors.items():
        header[name] = {"dtype": "U8", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


if __name__ == "__main__":
    tensors = {}
    for seed, ((W, H), (w, h)) in enumerate(CASES):
        small = picture(W, H, seed).resize((w, h), Image.Resampling.BILINEAR)
        tensors[f"{W}x{H}-{w}x{h}"] = ([h, w, 3], small.tobytes())
    tensors["luma"] = ([16, 16], picture(16, 16, 99).convert("L").tobytes())
    save(pathlib.Path(__file__).with_name("resize.safetensors"), tensors)
