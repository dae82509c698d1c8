//! Lines of standard input.

use std::io::{BufRead as _, Read as _};

use tokio::sync::mpsc;

/// A line that is not empty.
#[derive(Debug)]
pub(crate) struct Line {
    /// Which line of standard input it is, from 1.
    pub(crate) number: u64,
    pub(crate) text: String,
}

/// Reads lines on a thread of its own: standard input knows no other way to wait.
pub(crate) fn lines() -> mpsc::Receiver<std::io::Result<Line>> {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut bytes = Vec::new();
        for number in 1.. {
            bytes.clear();
            // What is longer than any message is cut, so that it is refused for its length.
            let read = stdin.by_ref().take(LINE_BYTES).read_until(b'\n', &mut bytes);
            let line = match read {
                Ok(0) => return,
                Ok(_) if !bytes.ends_with(b"\n") => stdin.skip_until(b'\n').map(|_| ()),
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            let text = String::from_utf8_lossy(&bytes);
            let text = text.strip_suffix('\n').unwrap_or(&text);
            let text = text.strip_suffix('\r').unwrap_or(text);
            let line = line.map(|()| Line { number, text: text.to_owned() });
            let has_failed = line.is_err();
            let is_empty = text.is_empty() && !has_failed;
            if !is_empty && sender.blocking_send(line).is_err() || has_failed {
                return;
            }
        }
    });
    receiver
}

/// How many lines may be read before they are used.
const LINES_AHEAD: usize = 256;
/// More than a message may have.
const LINE_BYTES: u64 = 64 * 1024;
