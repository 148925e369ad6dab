"""Golden values of decoding: small pictures in every format and what Pillow reads from them.

Needs Pillow. Writes pictures/* and pictures.safetensors beside itself: for each file a tensor of its name, the upright
RGB pixels (h, w, 3). Alpha is laid over (128, 128, 128); 16 bits become 8 by rounding.
"""

import io
import pathlib

import numpy as np
from PIL import Image, ImageOps

from make_resize import save

HERE = pathlib.Path(__file__).parent
W, H = 24, 16


def base():
    y, x = np.mgrid[0:H, 0:W]
    return np.stack([x * 255 // (W - 1), y * 255 // (H - 1), (x + y) * 255 // (W + H - 2)], 2).astype(np.uint8)


def upright_jpeg(orientation):
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(base()).save(out, "JPEG", quality=95, subsampling=0, exif=exif)
    return out.getvalue()


def encode(picture, form, **options):
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def over_grey(picture):
    rgba = np.asarray(picture.convert("RGBA")).astype(np.uint32)
    alpha = rgba[..., 3:]
    return ((rgba[..., :3] * alpha + 128 * (255 - alpha) + 127) // 255).astype(np.uint8)


def files():
    rgb = Image.fromarray(base())
    alpha = np.linspace(0, 255, W * H).reshape(H, W, 1).astype(np.uint8)
    rgba = Image.fromarray(np.concatenate([base(), alpha], 2))
    grey = rgb.convert("L")
    palette = rgb.quantize(32)
    yield "rgb.png", encode(rgb, "PNG"), None
    yield "rgba.png", encode(rgba, "PNG"), over_grey(rgba)
    yield "grey-alpha.png", encode(rgba.convert("LA"), "PNG"), over_grey(rgba.convert("LA"))
    yield "palette.png", encode(palette, "PNG"), None
    clear = encode(palette, "PNG", transparency=3)
    yield "palette-clear.png", clear, over_grey(Image.open(io.BytesIO(clear)))
    sixteen = (np.asarray(grey).astype(np.uint16) * 257 + np.arange(W, dtype=np.uint16)).clip(0, 65535)
    yield "grey16.png", encode(Image.fromarray(sixteen.astype(np.uint16)), "PNG"), np.repeat(
        ((sixteen.astype(np.uint32) + 128) // 257).astype(np.uint8)[..., None], 3, 2)
    yield "bilevel.png", encode(grey.convert("1"), "PNG"), None
    yield "grey.jpg", encode(grey, "JPEG", quality=95), None
    yield "rgb.jpg", encode(rgb, "JPEG", quality=95, subsampling=0), None
    yield "progressive.jpg", encode(rgb, "JPEG", quality=95, subsampling=0, progressive=True), None
    cmyk = encode(rgb.convert("CMYK"), "JPEG", quality=95, subsampling=0)
    yield "cmyk.jpg", cmyk, None
    # The same four planes with Adobe's transform flag set to 2 are YCCK.
    at = cmyk.index(b"Adobe") + 11
    yield "ycck.jpg", cmyk[:at] + b"\x02" + cmyk[at + 1:], None
    for orientation in range(2, 9):
        yield f"exif{orientation}.jpg", upright_jpeg(orientation), None
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "exif6.png", encode(rgb, "PNG", exif=exif), None
    yield "exif6.webp", encode(rgb, "WEBP", lossless=True, exif=exif), None
    yield "rgba.webp", encode(rgba, "WEBP", lossless=True, exact=True), over_grey(rgba)
    yield "rgb.bmp", encode(rgb, "BMP"), None
    yield "palette.bmp", encode(palette, "BMP"), None
    yield "two.gif", encode(palette, "GIF", save_all=True, append_images=[palette.rotate(180)]), None
    yield "rgb.tiff", encode(rgb, "TIFF", compression="tiff_lzw"), None
    yield "cmyk.tiff", encode(rgb.convert("CMYK"), "TIFF"), None
    yield "grey.tiff", encode(grey, "TIFF", compression="packbits"), None


if __name__ == "__main__":
    (HERE / "pictures").mkdir(exist_ok=True)
    tensors = {}
    for name, data, expected in files():
        (HERE / "pictures" / name).write_bytes(data)
        if expected is None:
            expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
        tensors[name] = (list(expected.shape), expected.tobytes())
    save(HERE / "pictures.safetensors", tensors)
