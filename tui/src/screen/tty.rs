//! The terminal device: raw mode, size, bytes in and out, and the sequences that open and close the screen.
//!
//! Where stdin or stdout is something else (a pipe), the controlling terminal takes its place.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

/// Alternate screen, no cursor, bracketed paste, focus reports; a blank screen with the pen put down.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[?1004h\x1b[m\x1b[2J\x1b[H";
/// Ends what may have been cut (a string, a synchronised frame), then takes back everything [`ENTER`] did.
const LEAVE: &str = "\x1b\\\x1b[?2026l\x1b[m\x1b[?1004l\x1b[?2004l\x1b[?25h\x1b[?1049l";
/// Before [`ENTER`], where the screen may not have been left.
pub(crate) const AGAIN: &str = "\x1b\\\x1b[?2026l\x1b[m\x1b[?1049l";
/// Reports of buttons, of motion, in decimal numbers.
pub(crate) const MOUSE_ON: &str = "\x1b[?1000h\x1b[?1002h\x1b[?1003h\x1b[?1006h";
/// The end of them.
pub(crate) const MOUSE_OFF: &str = "\x1b[?1006l\x1b[?1003l\x1b[?1002l\x1b[?1000l";

/// What the reader found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// This many bytes.
    Bytes(usize),
    /// Nothing within the time.
    Nothing,
    /// The other side is gone.
    Gone,
}

/// The terminal while the screen is open.
#[derive(Debug)]
pub(crate) struct Tty {
    device: device::Device,
    entered: AtomicBool,
    gone: AtomicBool,
    mouse: AtomicBool,
    /// Held by whoever writes, so that no two sequences mix; whether the screen is ours to write on.
    open: Mutex<bool>,
}

impl Tty {
    /// The terminal of this process, still as the shell left it.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn open(mouse: bool) -> io::Result<Self> {
        let device = device::Device::open()?;
        let no = || AtomicBool::new(false);
        Ok(Self { device, entered: no(), gone: no(), mouse: AtomicBool::new(mouse), open: Mutex::new(false) })
    }

    /// Raw mode; returns the bytes that open the screen, for whoever writes first.
    pub(crate) fn enter(&self) -> io::Result<String> {
        self.device.raw()?;
        self.entered.store(true, Ordering::SeqCst);
        *self.lock() = true;
        Ok(format!("{ENTER}{}", if self.mouse.load(Ordering::Relaxed) { MOUSE_ON } else { MOUSE_OFF }))
    }

    /// Whether the terminal is ours.
    pub(crate) fn entered(&self) -> bool {
        self.entered.load(Ordering::SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Gives the terminal's screen back: first half of leaving. Does nothing when it is not ours.
    pub(crate) fn close_screen(&self) {
        if self.gone.load(Ordering::SeqCst) {
            return;
        }
        // A terminal that takes nothing more (a stopped link) must not keep the process.
        for _ in 0..50 {
            let open = match self.open.try_lock() {
                Ok(open) => Some(open),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            };
            if let Some(mut open) = open {
                if std::mem::take(&mut *open) && self.device.writable(Duration::from_millis(300)) {
                    drop(self.device.write(format!("{MOUSE_OFF}{LEAVE}").as_bytes()));
                }
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The line discipline as it was, unread input thrown away: second half of leaving.
    pub(crate) fn close_line(&self) {
        if self.entered.swap(false, Ordering::SeqCst) {
            self.device.cooked();
        }
    }

    /// Both halves.
    pub(crate) fn leave(&self) {
        self.close_screen();
        self.close_line();
    }

    /// Whether mouse reports are on.
    pub(crate) fn mouse(&self) -> bool {
        self.mouse.load(Ordering::Relaxed)
    }

    /// Remembers whether mouse reports shall be on; the caller sends the sequence.
    pub(crate) fn set_mouse(&self, on: bool) {
        self.mouse.store(on, Ordering::Relaxed);
    }

    /// All of `bytes`, waiting as long as the terminal takes; nothing once the screen is given back.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let open = self.lock();
        if !*open {
            return Ok(());
        }
        let result = self.device.write(bytes);
        if result.is_err() {
            self.gone.store(true, Ordering::SeqCst);
        }
        result
    }

    /// What was typed, waiting `time` at most (`None`: for ever).
    pub(crate) fn read(&self, into: &mut [u8], time: Option<Duration>) -> Read {
        let read = self.device.read(into, time);
        if read == Read::Gone {
            self.gone.store(true, Ordering::SeqCst);
        }
        read
    }

    /// Columns and rows; 80 by 24 where the terminal does not say.
    pub(crate) fn size(&self) -> [u16; 2] {
        match self.device.window()[..2] {
            [columns, rows] if columns > 0 && rows > 0 => [columns, rows],
            _ => [80, 24],
        }
    }

    /// Height of a cell over its width, where the terminal tells its size in pixels.
    pub(crate) fn cell_aspect(&self) -> Option<f64> {
        let [columns, rows, width, height] = self.device.window().map(f64::from);
        plausible_aspect(width / columns, height / rows)
    }
}

/// `height / width` of a cell, unless no font is like that.
pub(crate) fn plausible_aspect(width: f64, height: f64) -> Option<f64> {
    let aspect = height / width;
    (aspect.is_finite() && (1.0..4.0).contains(&aspect)).then_some(aspect)
}

#[cfg(unix)]
mod device {
    use std::fs::File;
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd};
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::Errno;
    use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

    use super::Read;

    #[derive(Debug)]
    pub(super) struct Device {
        /// The controlling terminal, where a standard stream is none.
        own: Option<File>,
        stdin: bool,
        stdout: bool,
        before: Termios,
    }

    impl Device {
        pub(super) fn open() -> io::Result<Self> {
            let (stdin, stdout) = (isatty(rustix::stdio::stdin()), isatty(rustix::stdio::stdout()));
            let own = match stdin && stdout {
                true => None,
                false => Some(File::options().read(true).write(true).open("/dev/tty")?),
            };
            let before = match &own {
                Some(file) if !stdin => tcgetattr(file)?,
                _ => tcgetattr(rustix::stdio::stdin())?,
            };
            Ok(Self { own, stdin, stdout, before })
        }

        fn input(&self) -> BorrowedFd<'_> {
            match &self.own {
                Some(file) if !self.stdin => file.as_fd(),
                _ => rustix::stdio::stdin(),
            }
        }

        fn output(&self) -> BorrowedFd<'_> {
            match &self.own {
                Some(file) if !self.stdout => file.as_fd(),
                _ => rustix::stdio::stdout(),
            }
        }

        pub(super) fn raw(&self) -> io::Result<()> {
            let mut raw = self.before.clone();
            raw.make_raw();
            Ok(tcsetattr(self.input(), OptionalActions::Now, &raw)?)
        }

        pub(super) fn cooked(&self) {
            let _ = tcsetattr(self.input(), OptionalActions::Flush, &self.before);
        }

        pub(super) fn writable(&self, time: Duration) -> bool {
            ready(self.output(), PollFlags::OUT, Some(time)).is_ok_and(|flags| flags.contains(PollFlags::OUT))
        }

        pub(super) fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
            while !bytes.is_empty() {
                match rustix::io::write(self.output(), bytes) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(n) => bytes = &bytes[n..],
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => {
                        ready(self.output(), PollFlags::OUT, None)?;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(())
        }

        pub(super) fn read(&self, into: &mut [u8], time: Option<Duration>) -> Read {
            match ready(self.input(), PollFlags::IN, time) {
                Ok(flags) if flags.is_empty() => return Read::Nothing,
                Ok(_) => {}
                Err(_) => return Read::Gone,
            }
            match rustix::io::read(self.input(), into) {
                Ok(0) => Read::Gone,
                Ok(n) => Read::Bytes(n),
                Err(Errno::INTR | Errno::AGAIN) => Read::Nothing,
                Err(_) => Read::Gone,
            }
        }

        /// Columns, rows, width and height in pixels; zeros where unknown.
        pub(super) fn window(&self) -> [u16; 4] {
            match tcgetwinsize(self.output()) {
                Ok(size) => [size.ws_col, size.ws_row, size.ws_xpixel, size.ws_ypixel],
                Err(_) => [0; 4],
            }
        }
    }

    /// Which of `wanted`, or of the flags of a broken link, hold; none when the time is over or a signal came.
    fn ready(fd: BorrowedFd<'_>, wanted: PollFlags, time: Option<Duration>) -> io::Result<PollFlags> {
        let mut fds = [PollFd::from_borrowed_fd(fd, wanted)];
        let time = time.map(|t| Timespec { tv_sec: t.as_secs() as i64, tv_nsec: i64::from(t.subsec_nanos()) as _ });
        match poll(&mut fds, time.as_ref()) {
            Ok(_) => Ok(fds[0].revents()),
            Err(Errno::INTR) => Ok(PollFlags::empty()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(not(unix))]
mod device {
    use std::io::{self, Write};
    use std::time::Duration;

    use super::Read;

    /// Output alone: keys come through the terminal library on such systems.
    #[derive(Debug)]
    pub(super) struct Device;

    impl Device {
        pub(super) fn open() -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) fn raw(&self) -> io::Result<()> {
            crossterm::terminal::enable_raw_mode()
        }

        pub(super) fn cooked(&self) {
            drop(crossterm::terminal::disable_raw_mode());
        }

        pub(super) fn writable(&self, _: Duration) -> bool {
            true
        }

        pub(super) fn write(&self, bytes: &[u8]) -> io::Result<()> {
            let mut out = io::stdout().lock();
            out.write_all(bytes)?;
            out.flush()
        }

        pub(super) fn read(&self, _: &mut [u8], _: Option<Duration>) -> Read {
            Read::Gone
        }

        pub(super) fn window(&self) -> [u16; 4] {
            crossterm::terminal::size().map_or([0; 4], |(columns, rows)| [columns, rows, 0, 0])
        }
    }
}
