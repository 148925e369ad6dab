#!/usr/bin/env python3
"""How near half-block pictures are to the pictures: Switchback's beside chafa's and viu's, on the same cells.

    fidelity.py SWITCHBACK MODEL PICTURE... [--columns 64] [--viu PROGRAM] [--chafa PROGRAM]

    picture ─ 256 short, middle 224×224 (Pillow) ─▶ PNG ─▶ each program in a pseudo-terminal ─ SGR, ▀ ▄ █ ─▶ pixels
         └─ area average in linear light ─▶ columns × columns pixels, what all of them should be
    ΔE: CIEDE2000, mean over pixels, then over pictures; 256 colours are compared after a blur of both sides in linear
    light (Gaussian, σ of one pixel: half-blocks of 8×8 px at reading distance), since a dither is meant for the eye

Needs numpy and Pillow. MODEL is any that takes 224×224: `project --class 0` shows the whole input beside something else.
"""
import argparse, fcntl, os, pty, re, struct, sys, tempfile, termios
import numpy as np
from PIL import Image

NAMED = [(0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0), (0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229),
         (127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0), (92, 92, 255), (255, 0, 255), (0, 255, 255), (255, 255, 255)]
LEVELS = [0, 95, 135, 175, 215, 255]


def indexed(i):
    if i < 16:
        return NAMED[i]
    if i < 232:
        i -= 16
        return LEVELS[i // 36], LEVELS[i // 6 % 6], LEVELS[i % 6]
    return (8 + 10 * (i - 232),) * 3


def printed(command, columns, rows):
    """What a command writes on a terminal of this size, which says nothing of 24-bit colours."""
    pid, fd = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.environ.update(TERM="xterm-256color")
        for name in ("COLORTERM", "NO_COLOR", "TERM_PROGRAM"):
            os.environ.pop(name, None)
        os.execvp(command[0], command)
    out = b""
    while True:
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        out += data
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        sys.exit(f"{' '.join(command)} failed:\n{out.decode(errors='replace')}")
    return out.decode()


def pixels(text, columns, rows):
    """sRGB of the first `columns` × 2·`rows` half-blocks of lines that hold such."""
    image, y = np.zeros((2 * rows, columns, 3)), 0
    black, pen = (0, 0, 0), [(255, 255, 255), (0, 0, 0), False]
    for line in re.split(r"\r?\n", text):
        x = 0
        for codes, _, glyph in re.findall(r"\x1b\[([0-9;]*)m|(\x1b\[[0-9;?]*[A-Za-z]|\x1b[\x20-\x2f]*.)|([^\x1b\r])", line):
            if glyph:
                if x < columns and y < rows:
                    ink, ground = (pen[1], pen[0]) if pen[2] else (pen[0], pen[1])
                    top, bottom = {"▀": (ink, ground), "▄": (ground, ink), "█": (ink, ink)}.get(glyph, (ground, ground))
                    image[2 * y, x], image[2 * y + 1, x] = top, bottom
                x += 1
            elif not _:
                n = [int(v or 0) for v in codes.split(";")]
                while n:
                    k = n.pop(0)
                    if k == 0:
                        pen = [(255, 255, 255), black, False]
                    elif k in (7, 27):
                        pen[2] = k == 7
                    elif k in (38, 48):
                        kind = n.pop(0)
                        pen[k == 48] = tuple(n[:3]) if kind == 2 else indexed(n[0])
                        del n[:3 if kind == 2 else 1]
                    elif k == 39:
                        pen[0] = (255, 255, 255)
                    elif k == 49:
                        pen[1] = black
                    else:
                        for base, add, which in ((30, 0, 0), (40, 0, 1), (90, 8, 0), (100, 8, 1)):
                            if base <= k < base + 8:
                                pen[which] = indexed(k - base + add)
        # Lines of words, which come before and after a picture, have no colours.
        if x >= columns and re.search(r"\x1b\[[0-9;]*m", line):
            y += 1
    if y < rows:
        sys.exit(f"{y} rows of half-blocks where {rows} were expected")
    return image


def linear(srgb):
    v = srgb / 255.0
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def reduced(image, columns, rows):
    """The mean light of every pixel's area."""
    def shares(source, to):
        edges = np.arange(to + 1) * source / to
        return np.clip(np.minimum.outer(edges[1:], np.arange(1, source + 1)) - np.maximum.outer(edges[:-1], np.arange(source)), 0, None) * to / source
    return np.einsum("yi,ijc,xj->yxc", shares(image.shape[0], rows), linear(image), shares(image.shape[1], columns), optimize=True)


def blurred(light, sigma=1.0):
    reach = np.exp(-0.5 * (np.arange(-4, 5) / sigma) ** 2)
    reach /= reach.sum()
    for axis in (0, 1):
        padded = np.pad(light, [(4, 4) if a == axis else (0, 0) for a in range(3)], mode="edge")
        light = sum(w * np.take(padded, np.arange(i, i + light.shape[axis]), axis) for i, w in enumerate(reach))
    return light


def lab(light):
    xyz = light @ np.array([[0.4124564, 0.2126729, 0.0193339], [0.3575761, 0.7151522, 0.1191920], [0.1804375, 0.0721750, 0.9503041]])
    f = xyz / np.array([0.95047, 1.0, 1.08883])
    f = np.where(f > 216 / 24389, np.cbrt(f), (24389 / 27 * f + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def ciede2000(one, two):
    """Sharma, Wu, Dalal: The CIEDE2000 color-difference formula, 2005."""
    (l1, a1, b1), (l2, a2, b2) = np.moveaxis(one, -1, 0), np.moveaxis(two, -1, 0)
    c = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    g = 0.5 * (1 - np.sqrt(c / (c + 25.0 ** 7)))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    dl, dc, dh = l2 - l1, c2 - c1, (h2 - h1 + 180) % 360 - 180
    grey = c1 * c2 == 0
    dh = np.where(grey, 0, dh)
    dbig = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(dh / 2))
    l, c = (l1 + l2) / 2, (c1 + c2) / 2
    h = np.where(grey, h1 + h2, np.where(np.abs(h1 - h2) <= 180, (h1 + h2) / 2, (h1 + h2 + 360) / 2 % 360))
    t = 1 - 0.17 * np.cos(np.radians(h - 30)) + 0.24 * np.cos(np.radians(2 * h)) + 0.32 * np.cos(np.radians(3 * h + 6)) - 0.20 * np.cos(np.radians(4 * h - 63))
    sl = 1 + 0.015 * (l - 50) ** 2 / np.sqrt(20 + (l - 50) ** 2)
    sc, sh = 1 + 0.045 * c, 1 + 0.015 * c * t
    rt = -np.sin(np.radians(60 * np.exp(-(((h - 275) / 25) ** 2)))) * 2 * np.sqrt(c ** 7 / (c ** 7 + 25.0 ** 7))
    return np.sqrt((dl / sl) ** 2 + (dc / sc) ** 2 + (dbig / sh) ** 2 + rt * dc / sc * dbig / sh)


def check():
    """Three pairs of Sharma's table."""
    for one, two, wanted in [((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425), ((50, 2.5, 0), (73, 25, -18), 27.1492), ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082)]:
        got = ciede2000(np.array(one, float), np.array(two, float))
        assert abs(got - wanted) < 1e-4, (one, two, got)


def middle(path):
    picture = Image.open(path).convert("RGB")
    scale = 256 / min(picture.size)
    picture = picture.resize([round(n * scale) for n in picture.size], Image.BILINEAR)
    x, y = ((n - 224) // 2 for n in picture.size)
    return picture.crop((x, y, x + 224, y + 224))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("switchback"); parser.add_argument("model"); parser.add_argument("pictures", nargs="+")
    parser.add_argument("--columns", type=int, default=64)
    parser.add_argument("--chafa", default="chafa"); parser.add_argument("--viu", default="viu")
    given = parser.parse_args()
    check()
    columns, rows = given.columns, given.columns // 2
    size = (2 * columns + 2, rows + 40)
    own = lambda mode: lambda path: [given.switchback, "project", "-q", "-m", given.model, path, "--class", "0", "--preprocess", "unit", "--color", mode]
    owns = [own("truecolor"), own("256")]
    programs = [
        ("Switchback, truecolour", owns[0], 0), ("Switchback, 256", owns[1], 1),
        ("chafa, 240", lambda path: [given.chafa, "-f", "symbols", "--symbols", "vhalf", "-c", "240", "--size", f"{columns}x{rows}", "--animate", "off", path], 1),
        ("viu, 256", lambda path: [given.viu, "-b", "-w", str(columns), "-h", str(rows), path], 1),
    ]
    found = {name: [] for name, _, _ in programs}
    with tempfile.TemporaryDirectory() as folder:
        whole, seen = (os.path.join(folder, name) for name in ("whole.png", "seen.png"))
        for picture in given.pictures:
            crop = middle(picture)
            crop.save(whole)
            if picture == given.pictures[0]:
                told = printed([word for word in own("none")(whole) if word != "-q"], *size)
                top, left, bottom, right = map(int, re.search(r"(\d+),(\d+),(\d+),(\d+)", told).groups())
            # What the network sees: a row may be left over at the edge.
            crop = crop.crop((left, top, right, bottom))
            crop.save(seen)
            wanted = reduced(np.asarray(crop, float), columns, 2 * rows)
            for name, command, soft in programs:
                shown = linear(pixels(printed(command(seen if command not in owns else whole), *size), columns, rows))
                sides = (lab(blurred(shown)), lab(blurred(wanted))) if soft else (lab(shown), lab(wanted))
                found[name].append(ciede2000(*sides).mean())
    print(f"{len(given.pictures)} photographs on {columns}×{rows} cells\n")
    print("| | mean ΔE | median picture | worst picture |\n|---|---|---|---|")
    for name, values in found.items():
        print(f"| {name} | {np.mean(values):.2f} | {np.median(values):.2f} | {max(values):.2f} |")
    best = np.minimum(found["chafa, 240"], found["viu, 256"])
    print(f"\n256 colours: nearer than both on {np.mean(np.array(found['Switchback, 256']) < best):.0%} of the pictures")


if __name__ == "__main__":
    main()
