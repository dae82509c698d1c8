//! Typing on a terminal: a line behind a prompt, and above it what is printed meanwhile.

use std::{
    io::{stdin, stdout},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc as threads,
    },
    thread,
};

use anstream::adapter::strip_str;
use anyhow::Context as _;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::{Config, DefaultEditor, ExternalPrinter, error::ReadlineError};
use tokio::sync::mpsc;

use crate::output;

/// The lines that are typed.
pub(super) struct Typed {
    lines: mpsc::Receiver<rustyline::Result<String>>,
    /// Asks for the next line: while none is asked for, the terminal is as it was.
    ask: threads::Sender<()>,
}

/// Prints above the line that is being typed.
pub(super) struct Above(Box<dyn ExternalPrinter + Send>);

/// The settings of the terminal. It gets them back when this is dropped, also if a line is still being typed then.
pub(super) struct Settings {
    before: Termios,
    is_typing: Arc<AtomicBool>,
}

/// Begins to read lines from the terminal, on a thread of its own.
pub(super) fn start(prompt: String) -> anyhow::Result<(Typed, Above, Settings)> {
    let before = tcgetattr(stdin()).context("cannot read the settings of the terminal")?;
    let is_typing = Arc::new(AtomicBool::new(false));
    let settings = Settings { before, is_typing: Arc::clone(&is_typing) };
    let config = Config::builder().auto_add_history(true).build();
    let mut editor = DefaultEditor::with_config(config).context("cannot use the terminal")?;
    let above = editor.create_external_printer().context("cannot use the terminal")?;
    let (sender, lines) = mpsc::channel(1);
    let (ask, asked) = threads::channel();
    thread::spawn(move || {
        while asked.recv().is_ok() {
            is_typing.store(true, Ordering::SeqCst);
            let line = editor.readline(&prompt);
            is_typing.store(false, Ordering::SeqCst);
            if matches!(line, Err(ReadlineError::Eof | ReadlineError::Interrupted)) {
                return;
            }
            let has_failed = line.is_err();
            if sender.blocking_send(line).is_err() || has_failed {
                return;
            }
        }
    });
    Ok((Typed { lines, ask }, Above(Box::new(above)), settings))
}

impl Typed {
    /// The next line; `None` after Ctrl-D or Ctrl-C.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<String>> {
        // A thread that has ended sends nothing either.
        let _ = self.ask.send(());
        self.lines.recv().await.transpose().context("cannot read the terminal")
    }
}

impl Above {
    pub(super) fn print(&mut self, line: &str) -> anyhow::Result<()> {
        let line = match output::has_colours(&stdout()) {
            true => line.to_owned(),
            false => strip_str(line).to_string(),
        };
        self.0.print(line + "\n").context("cannot write to the terminal")
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        if self.is_typing.load(Ordering::SeqCst) {
            let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
            // The prompt goes, and pasted text comes as it did before.
            let _ = output::bytes(b"\r\x1b[K\x1b[?2004l");
        }
    }
}
