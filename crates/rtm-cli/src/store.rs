//! `rtm store`: looks after the file of a data directory while no server uses it.

mod import;
mod line;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use rtm_server::{
    DamagedRecord, Redb, StoreRecord,
    core::{StateKey, store::LogKind},
};

use self::line::Line;

/// Check what a server keeps in its data directory, or take it elsewhere.
///
/// The server must not be running. A store of an earlier version is brought up to the format of this one by export and
/// import.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Read everything and count it. If anything is damaged, say what, and end with status 1. It works on a copy beside the
    /// file, which is left as it is.
    Check(Check),
    /// Write everything as JSON, one record a line.
    Export(Export),
    /// Read what export wrote and keep it, in an empty store or beside what is there.
    ///
    /// Messages that are there already are not kept twice, so the same file may be read again. Messages that wait for a
    /// user come after those that are there. Attributes of a channel are taken if their revision is higher than the one
    /// that is there, and subscriptions of a client if it was there later. A bad line ends the import; what came before it is kept.
    Import(Import),
}

#[derive(Debug, clap::Args)]
struct Check {
    #[command(flatten)]
    store: DataDir,
}

#[derive(Debug, clap::Args)]
struct Export {
    #[command(flatten)]
    store: DataDir,
    /// Where to write it; standard output by default. A file that is there is replaced.
    file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Import {
    #[command(flatten)]
    store: DataDir,
    /// Where to read it from; - is standard input.
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
struct DataDir {
    /// The server's data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::Check(Check { store }) => check(&store.data_dir),
        Action::Export(Export { store, file: None }) => {
            let mut out = BufWriter::new(io::stdout().lock());
            match export(&store.data_dir, &mut out) {
                // Whoever reads has read enough.
                Err(error) if is_closed_pipe(&error) => Ok(()),
                done => done,
            }
        }
        Action::Export(Export { store, file: Some(file) }) => {
            let mut out =
                BufWriter::new(File::create(&file).with_context(|| format!("cannot create {}", file.display()))?);
            export(&store.data_dir, &mut out).with_context(|| format!("{} is not complete", file.display()))?;
            let file = out.into_inner().context("cannot write the end")?;
            file.sync_all().context("cannot write it to the disk")
        }
        Action::Import(Import { store, file }) => {
            let lines: Box<dyn BufRead> = if file == Path::new("-") {
                Box::new(io::stdin().lock())
            } else {
                let name = file.display();
                Box::new(BufReader::new(File::open(&file).with_context(|| format!("cannot open {name}"))?))
            };
            let done = import::import(&mut Redb::open(&store.data_dir)?, lines)?;
            say(&format!("{done}\n"))
        }
    }
}

fn check(data_dir: &Path) -> anyhow::Result<()> {
    // A check of damaged checksums may leave nothing that can be opened.
    let mut store = Redb::open_copy(data_dir)?;
    let mut damages = 0;
    let mut damaged = |damage: &DamagedRecord| {
        damages += 1;
        eprintln!("damaged: {damage}");
    };
    let (mut stored, mut history, mut values, mut subscribers) = (0_u64, 0_u64, 0_u64, 0_u64);
    store.records(|record| {
        match record {
            Ok(StoreRecord::Entry { log, .. }) => match log.kind() {
                LogKind::Stored => stored += 1,
                LogKind::History => history += 1,
            },
            Ok(StoreRecord::Value { key: StateKey::ChannelAttributes(_), .. }) => values += 1,
            Ok(StoreRecord::Value { key: StateKey::ForgottenRevision, .. }) => {}
            Ok(StoreRecord::Value { key: StateKey::Subscriptions(..), .. }) => subscribers += 1,
            Err(damage) => damaged(&damage),
        }
        ControlFlow::Continue(())
    })?;
    store.check(|damage| damaged(&damage))?;
    say(&format!(
        "stored messages     {stored}\nhistory             {history}\nchannel attributes  {values}\n\
         subscriptions       {subscribers}\n"
    ))?;
    anyhow::ensure!(damages == 0, "{damages} damaged: what export writes lacks the records that cannot be read");
    Ok(())
}

fn export(data_dir: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut store = Redb::open_existing(data_dir)?;
    let mut damages = 0;
    let mut written = Ok(());
    store.records(|record| {
        match record {
            Ok(record) => written = Line::from(record).write(out),
            Err(damage) => {
                damages += 1;
                eprintln!("left out: {damage}");
            }
        }
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written.and_then(|()| out.flush()).context("cannot write")?;
    anyhow::ensure!(damages == 0, "{damages} damaged records were left out");
    Ok(())
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn say(text: &str) -> anyhow::Result<()> {
    io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}
