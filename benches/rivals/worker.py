"""A rival in a process of its own, which waits until it is asked: `ready` once, then a line in, a JSON list of milliseconds out."""

import json
import os
import statistics
import subprocess
import tempfile

PAUSE = 0.25  # seconds for the threads of the last engine to go to sleep


class Failed(Exception):
    pass


class Worker:
    def __init__(self, name, command):
        self.name, self.log = name, tempfile.TemporaryFile()
        # Thread counts come with the command, not from the surroundings.
        surroundings = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "MKL_", "OPENBLAS_"))}
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                        text=True, env=surroundings)
        while self.read() != "ready":  # some engines greet on stdout
            pass

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            tail = self.log.read().decode(errors="replace").strip().splitlines()[-3:]
            raise Failed(f"{self.name}: {' | '.join(tail) or 'ended'}")
        return line.strip()

    def ask(self, question):
        """The median of the milliseconds that it answers."""
        self.process.stdin.write(f"{question}\n")
        self.process.stdin.flush()
        return statistics.median(json.loads(self.read()))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def in_turn(rounds, contenders, ask):
    """{contender: [answer of each round]}, in another order each round, so that nobody always follows the same one."""
    import time
    answers = {c: [] for c in contenders}
    for number in range(rounds):
        turn = number % max(len(contenders), 1)
        for contender in contenders[turn:] + contenders[:turn]:
            time.sleep(PAUSE)
            answers[contender].append(ask(contender))
    return answers
