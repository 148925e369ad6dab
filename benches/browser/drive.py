#!/usr/bin/env python3
"""Drives the browser through a pseudo-terminal and counts: bytes a step, bytes when idle, a full repaint, the time to the
first frame, the time from a key to its frame; and looks at how the terminal is left.

    drive.py SWITCHBACK MODEL PICTURE [--columns 120 --rows 40] [--firsts 7] [--silent]

The terminal at the other end answers questions as a 24-bit terminal does, unless --silent. A frame is over when its mark
(CSI 5 n) came, or, of a silent terminal, when nothing came for 30 ms; times run to the last byte of the frame.
Needs nothing but Python.
"""
import functools, argparse, fcntl, os, pty, select, signal, statistics, struct, sys, termios, time

print = functools.partial(print, flush=True)
QUIET = 0.03


class Terminal:
    def __init__(self, command, columns, rows, silent):
        self.silent, self.seen, self.tail = silent, bytearray(), b""
        self.begun = time.perf_counter()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
            os.environ.pop("NO_COLOR", None)
            os.execvp(command[0], command)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = None

    def answer(self, data):
        """Replies to the questions in `data`, however they are cut."""
        known = [
            (b"\x1bP$qm\x1b\\", b"\x1bP1$r0;48;2;1;2;3m\x1b\\"), (b"\x1b[?2026$p", b"\x1b[?2026;2$y"),
            (b"\x1b[16t", b"\x1b[6;20;10t"), (b"\x1b]11;?\x1b\\", b"\x1b]11;rgb:0000/0000/0000\x1b\\"), (b"\x1b[5n", b"\x1b[0n"),
        ]
        old, text = len(self.tail), self.tail + data
        asked = []
        for question, reply in known:
            at = text.find(question)
            while at >= 0:
                if at + len(question) > old:
                    asked.append((at, reply))
                at = text.find(question, at + 1)
        self.tail = text[-16:]
        for _, reply in sorted(asked):
            os.write(self.fd, reply)

    def read(self, quiet=QUIET, most=10.0, begin=0.3):
        """All that comes until nothing came for `quiet` seconds: the bytes, when the first and the last of them came."""
        out, first, last, end = bytearray(), None, None, time.perf_counter() + most
        while time.perf_counter() < end:
            ready, _, _ = select.select([self.fd], [], [], quiet if out else max(0.0, min(begin, end - time.perf_counter())))
            if not ready:
                break
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                break
            if not data:
                break
            last = time.perf_counter()
            first = first or last
            out += data
            if not self.silent:
                self.answer(data)
        self.seen += out
        return bytes(out), first, last

    def settle(self, seconds=60):
        """Until nothing moves for half a second."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end and self.read(0.5, begin=0.5)[0]:
            pass

    def key(self, keys):
        os.write(self.fd, keys)

    def alive(self):
        try:
            return os.waitpid(self.pid, os.WNOHANG)[0] == 0
        except ChildProcessError:
            return False

    def wait(self, seconds=3):
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self.read(0.02, 0.1)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.read(0.02, 0.2)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return None


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("switchback"); parser.add_argument("model"); parser.add_argument("picture")
    parser.add_argument("--columns", type=int, default=120); parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--firsts", type=int, default=7, help="starts whose first frame is timed")
    parser.add_argument("--only-firsts", action="store_true", help="nothing but these")
    parser.add_argument("--silent", action="store_true")
    given = parser.parse_args()
    command = [given.switchback, "browse", "-m", given.model, given.picture]
    begin = lambda: Terminal(command, given.columns, given.rows, given.silent)

    firsts = []
    for _ in range(given.firsts):
        t = begin()
        # The first full frame: layers, maps, input, projection, classes; after it nothing more comes.
        data, _, last = t.read(0.3, begin=3.0)
        assert b"Classes" in data and b" %" in data, "no full frame came"
        firsts.append((last - t.begun) * 1000)
        t.key(b"q"); t.wait()
    if firsts:
        print(f"first full frame: median {statistics.median(firsts):.0f}, p95 {percentile(firsts, .95):.0f}, worst {max(firsts):.0f} ms of {len(firsts)}")
    if given.only_firsts:
        return

    t = begin()
    t.settle()
    start = len(t.seen)
    time.sleep(1.0); idle = len(t.read(0.5)[0])
    print(f"idle: {idle} bytes")
    os.write(t.fd, b"\x0c"); repaint = len(t.read(0.2)[0])
    print(f"full repaint: {repaint / 1000:.1f} kB")
    def steps(key, what):
        """One by one: to the first byte of an answer, and to the last of all that follows from the key."""
        begins, ends, sizes = [], [], []
        for _ in range(60):
            sent = time.perf_counter(); t.key(key)
            data, first, last = t.read(0.12)
            sizes.append(len(data))
            if data:
                begins.append((first - sent) * 1000); ends.append((last - sent) * 1000)
        row = lambda times: f"p50 {percentile(times, .5):.1f} p95 {percentile(times, .95):.1f} ms"
        print(f"{what}: {statistics.mean(sizes) / 1000:.1f} kB a step; key to its first byte {row(begins)}, to all of its frames {row(ends)}")

    steps(b"l", "l, each with a new projection")
    steps(b"h", "h, over the same, from the cache")
    start = len(t.seen)
    for step in range(60):
        t.key(b"l"); t.read(0.001, 0.033, 0.033)
    t.settle(5)
    print(f"l held at 30 a second: {(len(t.seen) - start) / 60000:.1f} kB a step")
    t.key(b"l" * 10000); begun = time.perf_counter(); t.settle(30)
    print(f"10,000 keys: at rest after {time.perf_counter() - begun - 0.5:.1f} s")
    t.key(b"q"); print("q: status", t.wait(), "restored", t.seen.rstrip().endswith(b"\x1b[?1049l"))
    for name, number in (("TERM", signal.SIGTERM), ("HUP", signal.SIGHUP)):
        t = begin(); t.read(0.1, begin=3.0); os.kill(t.pid, number)
        print(f"SIG{name}: status", t.wait(), "restored", b"\x1b[?1049l" in t.seen)
    t = begin(); t.read(0.1, begin=3.0); os.close(t.fd); time.sleep(1.5)
    gone = os.waitpid(t.pid, os.WNOHANG)
    print("broken link: ended", gone[0] != 0, gone[1])
    if gone[0] == 0:
        os.kill(t.pid, signal.SIGKILL)
    t = begin(); t.settle(20); t.key(b"\x1a"); time.sleep(0.5); t.read(0.1)
    stopped = os.waitpid(t.pid, os.WNOHANG | os.WUNTRACED)
    left = b"\x1b[?1049l" in t.seen
    start = len(t.seen); os.kill(t.pid, signal.SIGCONT); t.read(0.3)
    print("Ctrl-Z: stopped", os.WIFSTOPPED(stopped[1]) if stopped[0] else False, "restored", left, "drawn again", len(t.seen) - start > 1000)
    t.key(b"q"); print("q: status", t.wait())


if __name__ == "__main__":
    main()
