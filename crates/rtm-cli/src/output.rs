//! How commands print: results on standard output, remarks on standard error, with colours only where they are wanted.

use std::{
    fmt,
    io::{self, Write as _},
};

use anstream::{AutoStream, ColorChoice, stream::RawStream};
use serde::Serialize;

/// How values are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// One JSON object per line; ts is the time in UTC.
    Json,
    /// Lines for people, coloured on a terminal.
    Text,
}

/// Standard output could not be written.
#[derive(Debug)]
pub(crate) struct OutputError(io::Error);

impl OutputError {
    /// Whether its reader has read enough, as `head` does.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot write to standard output")
    }
}

impl std::error::Error for OutputError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Prints a line at once. Colours in it go only to a terminal that wants them.
pub(crate) fn line(line: impl fmt::Display) -> anyhow::Result<()> {
    text(&format!("{line}\n"))
}

/// Prints a text at once, as [`line()`] does.
pub(crate) fn text(text: &str) -> anyhow::Result<()> {
    let mut stdout = anstream::stdout().lock();
    Ok(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(OutputError)?)
}

/// Prints a value as a line of JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string(value)?)
}

/// Prints bytes as they are.
pub(crate) fn bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    Ok(stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(OutputError)?)
}

/// Prints a remark on standard error. Nobody learns that nobody reads it.
pub(crate) fn note(note: impl fmt::Display) {
    let _ = writeln!(anstream::stderr().lock(), "{note}");
}

/// Whether colours are wanted there: on a terminal, unless NO_COLOR says otherwise.
pub(crate) fn has_colours(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}
