#!/usr/bin/env python3
"""A ProxyCommand for ssh: passes stdin and stdout on to HOST PORT with so many bits a second and so much delay each way.

    ssh -o ProxyCommand='throttle.py %h %p 1e6 0.1' HOST
"""
import os, select, socket, sys, time

host, port, rate, delay = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 8, float(sys.argv[4])
peer = socket.create_connection((host, port))
# A link's own buffer is small: what does not fit waits at the sender.
peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
ways = [[0, peer.fileno(), [], 0.0, 0], [peer.fileno(), 1, [], 0.0, 0]]
while True:
    now = time.monotonic()
    for way in ways:
        while way[2] and way[2][0][0] <= now:
            _, data = way[2].pop(0)
            way[4] -= len(data)
            view = memoryview(data)
            while view:
                view = view[os.write(way[1], view):]
    inputs = [w[0] for w in ways if w[4] < rate * delay + 32768]
    due = [w[2][0][0] - now for w in ways if w[2]]
    ready, _, _ = select.select(inputs, [], [], max(0, min(due)) if due else None)
    for way in ways:
        if way[0] in ready:
            data = os.read(way[0], 2048)
            if not data:
                sys.exit()
            way[3] = max(way[3], time.monotonic()) + len(data) / rate
            way[2].append((way[3] + delay, data))
            way[4] += len(data)
