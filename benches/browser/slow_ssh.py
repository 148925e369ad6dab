#!/usr/bin/env python3
"""The browser over a real ssh to this machine through a link of 1 Mbit/s and 100 ms each way: keys are held for five
seconds; how long after the last one the screen is at rest, and the bytes a key.

    slow_ssh.py SWITCHBACK MODEL PICTURE      needs sshd; no root, a throwaway key, a port of its own
"""
import getpass, os, shutil, subprocess, sys, tempfile, time
from drive import Terminal

here = os.path.dirname(os.path.abspath(__file__))
program, model, picture = map(os.path.abspath, sys.argv[1:4])
port = 22022
with tempfile.TemporaryDirectory() as home:
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{home}/{name}"], check=True)
    shutil.copy(f"{home}/user.pub", f"{home}/keys")
    with open(f"{home}/config", "w") as f:
        f.write(f"Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\nAuthorizedKeysFile {home}/keys\nStrictModes no\n"
                "UsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nPidFile none\n")
    sshd = subprocess.Popen([shutil.which("sshd", path="/usr/sbin:/usr/local/sbin"), "-D", "-e", "-f", f"{home}/config"], stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        command = ["ssh", "-tt", "-F", "none", "-i", f"{home}/user", "-p", str(port), "-o", "StrictHostKeyChecking=no", "-o",
                   "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o",
                   f"ProxyCommand={sys.executable} {here}/throttle.py %h %p 1e6 0.1", f"{getpass.getuser()}@127.0.0.1",
                   f"{program} browse -m {model} {picture}"]
        t = Terminal(command, 120, 40, False)
        t.read(2.0, 20, begin=10)
        t.settle(20)
        if not t.alive() or len(t.seen) < 2000:
            sys.exit("no browser came over ssh (does sshd want its folder /run/sshd?):\n" + t.seen.decode(errors="replace"))
        print("first screens", len(t.seen), "bytes")
        start, lasts = len(t.seen), []
        for _ in range(3):
            for i in range(165):
                t.key(b"lh"[i // 30 % 2:][:1]); t.read(0.001, 0.033, 0.033)
            held = time.perf_counter(); before = len(t.seen)
            _, _, last = t.read(0.6, 10, begin=1.5)
            lasts.append((last or held) - held)
            print(f"at rest {lasts[-1]:.2f} s after the last key, {len(t.seen) - before} bytes of them late")
        print(f"{(len(t.seen) - start) / 495:.0f} bytes a key")
        t.key(b"q"); print("status", t.wait(10))
    finally:
        sshd.terminate()
