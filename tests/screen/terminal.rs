//! A terminal with a program in it: a pseudo-terminal, a shell that waits for the program, and what is on the screen.

use std::ffi::OsStr;
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tempfile::TempDir;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// A screen on which nothing moved for so long is at rest: a spinner turns more often.
const REST: Duration = Duration::from_millis(170);

/// Runs the program, then says how it ended and in what state the line is, and stays: the leader of a session takes the
/// line with it.
const SHELL: &str = r#"
sh -c 'echo $$ >"$PID_FILE"; exec "$@"' sh "$@"
echo "ended with $?"
case "$(stty -a)" in *-icanon*|*-echo\ *|*-isig*) echo "line raw";; *) echo "line restored";; esac
read wait
"#;

/// The same with job control: it waits for a line when the program stops, and then brings it back.
const JOBS: &str = r#"
set -m
sh -c 'echo $$ >"$PID_FILE"; exec "$@"' sh "$@"
status=$?
while [ $status = 147 ] || [ $status = 148 ]; do read line; fg >/dev/null; status=$?; done
echo "ended with $status"
case "$(stty -a)" in *-icanon*|*-echo\ *|*-isig*) echo "line raw";; *) echo "line restored";; esac
read wait
"#;

/// What was asked with, and what a terminal of 24 bits answers.
const ANSWERS: [(&[u8], &[u8]); 5] = [
    (b"\x1bP$qm\x1b\\", b"\x1bP1$r0;48;2;1;2;3m\x1b\\"),
    (b"\x1b[?2026$p", b"\x1b[?2026;2$y"),
    (b"\x1b[16t", b"\x1b[6;20;10t"),
    (b"\x1b]11;?\x1b\\", b"\x1b]11;rgb:0000/0000/0000\x1b\\"),
    (b"\x1b[5n", b"\x1b[0n"),
];

/// What is copied through the terminal.
#[derive(Default)]
pub(crate) struct Clipboard(pub(crate) Vec<u8>);

impl vt100::Callbacks for Clipboard {
    fn copy_to_clipboard(&mut self, _: &mut vt100::Screen, _: &[u8], data: &[u8]) {
        self.0 = data.to_vec();
    }
}

pub(crate) struct Terminal {
    shell: Child,
    master: Option<OwnedFd>,
    pub(crate) parser: vt100::Parser<Clipboard>,
    /// Where the program runs, its home.
    pub(crate) home: Arc<TempDir>,
    /// The end of what came: a question may be cut.
    tail: Vec<u8>,
    /// Bytes that came.
    pub(crate) bytes: usize,
}

fn side(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).expect("a size")
}

impl Terminal {
    /// Starts the program in a terminal of `[columns, rows]`.
    pub(crate) fn start(home: Arc<TempDir>, size: [u16; 2], arguments: &[impl AsRef<OsStr>]) -> Self {
        Self::under(SHELL, home, size, arguments)
    }

    /// The same as a job of a shell that can bring it back.
    pub(crate) fn start_as_job(home: Arc<TempDir>, size: [u16; 2], arguments: &[impl AsRef<OsStr>]) -> Self {
        Self::under(JOBS, home, size, arguments)
    }

    fn under(shell: &str, home: Arc<TempDir>, size: [u16; 2], arguments: &[impl AsRef<OsStr>]) -> Self {
        // Nobody else may hold this side: it would never hang up.
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).expect("a pseudo-terminal");
        grantpt(&master).expect("access");
        unlockpt(&master).expect("access");
        tcsetwinsize(&master, window(size)).expect("a size");
        let peer = || ioctl_tiocgptpeer(&master, flags).expect("the other side");
        let shell = Command::new("setsid")
            .args(["--ctty", "sh", "-c", shell, "sh", env!("CARGO_BIN_EXE_switchback")])
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TERM", "xterm-256color")
            .env("HOME", home.path())
            .env("PID_FILE", home.path().join("pid"))
            .current_dir(home.path())
            .stdin(Stdio::from(peer()))
            .stdout(Stdio::from(peer()))
            .stderr(Stdio::from(peer()))
            .spawn()
            .expect("setsid of util-linux");
        let parser = vt100::Parser::new_with_callbacks(side(size[1]), side(size[0]), 0, Clipboard::default());
        Self { shell, master: Some(master), parser, home, tail: Vec::new(), bytes: 0 }
    }

    fn master(&self) -> &OwnedFd {
        self.master.as_ref().expect("the terminal is there")
    }

    /// Takes what comes within `time`; false when nothing came.
    fn take(&mut self, time: Duration) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(std::os::fd::AsFd::as_fd(self.master()), PollFlags::IN)];
        let wait = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        if poll(&mut fds, Some(&wait)).is_ok_and(|n| n == 0) {
            return false;
        }
        let mut buffer = [0; 1 << 16];
        let Ok(n) = rustix::io::read(self.master(), &mut buffer) else {
            std::thread::sleep(time);
            return false;
        };
        self.bytes += n;
        self.parser.process(&buffer[..n]);
        self.answer(&buffer[..n]);
        n > 0
    }

    fn answer(&mut self, new: &[u8]) {
        let old = self.tail.len();
        self.tail.extend_from_slice(new);
        let mut found: Vec<(usize, &[u8])> = Vec::new();
        for (question, answer) in ANSWERS {
            let places = self.tail.windows(question.len()).enumerate().filter(|(_, bytes)| *bytes == question);
            found.extend(places.filter(|(at, _)| at + question.len() > old).map(|(at, _)| (at, answer)));
        }
        found.sort_unstable();
        for (_, answer) in found {
            self.send(answer);
        }
        self.tail.drain(..self.tail.len().saturating_sub(16));
    }

    /// Types, reading on while the program is slow to.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(512) {
            let mut rest = part;
            while !rest.is_empty() {
                let n = rustix::io::write(self.master(), rest).expect("the terminal takes keys");
                rest = &rest[n..];
            }
            if bytes.len() > 512 {
                self.take(Duration::ZERO);
            }
        }
    }

    /// Another size.
    pub(crate) fn resize(&mut self, size: [u16; 2]) {
        tcsetwinsize(self.master(), window(size)).expect("a size");
        self.parser.screen_mut().set_size(side(size[1]), side(size[0]));
    }

    /// Until nothing moves.
    pub(crate) fn rest(&mut self) {
        self.settle(REST);
    }

    /// Until nothing came for `quiet`.
    pub(crate) fn settle(&mut self, quiet: Duration) {
        let mut patience = Patience(PATIENCE);
        while patience.during(quiet, || self.take(quiet)) {
            assert!(patience.is_left(), "the screen never rests:\n{}", self.text());
        }
    }

    /// Reads for `time`, whatever comes.
    pub(crate) fn watch(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|t| !t.is_zero()) {
            self.take(left);
        }
    }

    /// Until `ready`, within `time`; whether it came to that.
    pub(crate) fn within(&mut self, time: Duration, ready: impl Fn(&Self) -> bool) -> bool {
        const STEP: Duration = Duration::from_millis(10);
        let mut patience = Patience(time);
        while !ready(self) {
            if !patience.is_left() {
                return false;
            }
            patience.during(STEP, || self.take(STEP));
        }
        true
    }

    /// Until all of `words` are on the screen.
    pub(crate) fn shows(&mut self, words: &[&str]) {
        let shown = self.within(PATIENCE, |t| words.iter().all(|w| t.text().contains(w)));
        assert!(shown, "{words:?} never came:\n{}", self.text());
    }

    /// The screen's text.
    pub(crate) fn text(&self) -> String {
        self.parser.screen().contents()
    }

    /// Every cell as it looks, to the row before `end`: of ▀ and ▄ the colours of both halves, whichever was sent.
    pub(crate) fn picture(&self, end: u16) -> Vec<String> {
        let (screen, columns) = (self.parser.screen(), self.parser.screen().size().1.get());
        let cell = |y: u16, x: u16| {
            let cell = screen.cell(y, x).expect("inside");
            let (ink, ground) = (cell.fgcolor(), cell.bgcolor());
            match cell.contents() {
                "" | " " if !cell.inverse() && !cell.underline() => format!("{ground:?} {ground:?}"),
                "█" => format!("{ink:?} {ink:?}"),
                "▀" => format!("{ink:?} {ground:?}"),
                "▄" => format!("{ground:?} {ink:?}"),
                text => format!("{text} {ink:?} {ground:?} {} {} {}", cell.bold(), cell.inverse(), cell.underline()),
            }
        };
        (0..end).flat_map(|y| (0..columns).map(move |x| cell(y, x))).collect()
    }

    /// The program's own process.
    pub(crate) fn process(&self) -> Pid {
        let text = std::fs::read_to_string(self.home.path().join("pid")).expect("it runs");
        Pid::from_raw(text.trim().parse().expect("a number")).expect("a process")
    }

    /// A line of `/proc/PID/status`.
    pub(crate) fn status(&self, name: &str) -> String {
        let path = format!("/proc/{}/status", self.process().as_raw_nonzero());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().trim().to_owned()
    }

    /// The names of its threads.
    pub(crate) fn threads(&self) -> Vec<String> {
        let path = format!("/proc/{}/task", self.process().as_raw_nonzero());
        let tasks = std::fs::read_dir(path).into_iter().flatten().flatten();
        tasks.filter_map(|t| Some(std::fs::read_to_string(t.path().join("comm")).ok()?.trim().to_owned())).collect()
    }

    /// Whether the program is gone; it may still wait for whoever counts the dead.
    pub(crate) fn is_gone(&self) -> bool {
        let state = self.status("State");
        state.is_empty() || state.starts_with('Z')
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.process(), signal).expect("it is there");
    }

    /// Takes the terminal away.
    pub(crate) fn unplug(&mut self) {
        self.master = None;
    }

    /// That the program ends with this status within two seconds, and gives the terminal back as it was.
    pub(crate) fn ends_with(&mut self, status: u8) {
        let wanted = format!("ended with {status}\n");
        let ended = self.within(Duration::from_secs(2), |t| t.text().contains("ended with "));
        assert!(ended, "it does not end:\n{}", self.text());
        self.shows(&["line "]);
        let (screen, text) = (self.parser.screen(), self.text());
        assert!(text.contains(&wanted) && text.contains("line restored"), "{text}");
        assert!(!screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste());
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        assert_eq!((screen.fgcolor(), screen.bgcolor()), (vt100::Color::Default, vt100::Color::Default));
    }
}

/// Time that is left. Where a whole test is stopped for a while, and the program with it, that counts little.
struct Patience(Duration);

impl Patience {
    fn during<T>(&mut self, usual: Duration, what: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = what();
        self.0 = self.0.saturating_sub(start.elapsed().min(2 * usual));
        done
    }

    fn is_left(&self) -> bool {
        !self.0.is_zero()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The line hangs up: shell and program end.
        self.master = None;
        drop(self.shell.kill());
        drop(self.shell.wait());
    }
}

fn window([columns, rows]: [u16; 2]) -> Winsize {
    Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}
