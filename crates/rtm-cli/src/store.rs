//! `rtm store`: checks, exports and imports a data directory while no server uses it, or exports and imports the store of a
//! cluster, whoever uses it.

mod import;
mod line;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::ArgGroup;
use rtm_server::{
    ClusterConfig, ClusterName, ClusterStore, DamagedRecord, Redb, StoreRecord,
    core::{
        StateKey,
        store::{Backend, LogKind},
    },
};
use tempfile::NamedTempFile;

use crate::{cluster, output};

use self::line::Line;

/// Check, export or import the data directory of a server, or export or import the store of a cluster.
///
/// The server of a data directory must not be running; the servers of a cluster may. export and import convert a data directory of
/// an older version to the current format.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Verify everything and count the records. Name each damage, and exit with status 1 if there is any. It works on a copy
    /// in the same directory and does not change the file.
    Check(Check),
    /// Write everything as JSON, one record per line.
    Export(Export),
    /// Add the records of an export to a store, which may be empty or not.
    ///
    /// Importing a file twice creates no duplicates. Imported messages for a user come after those that the store has. A
    /// channel's attributes replace those of the store if their revision is higher, and a client's subscriptions if it was last
    /// seen later; servers of a cluster that run already use these two only after a restart. An invalid line ends the import;
    /// the lines before it are imported.
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
    store: Place,
    /// File to write; - is standard output [default: -]. An existing file is replaced when the export is complete; a new one is for its
    /// owner alone to read.
    file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Import {
    #[command(flatten)]
    store: Place,
    /// File to read; - is standard input.
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
struct DataDir {
    /// Data directory of the server.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

/// Where a store is.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("where").required(true).multiple(true).args(["data_dir", "cluster", "config"]))]
struct Place {
    /// Data directory of the server.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["cluster", "config"])]
    data_dir: Option<PathBuf>,
    /// Servers of NATS that the cluster is on.
    #[arg(long, value_name = "nats://HOST:PORT[,nats://…]", value_delimiter = ',')]
    cluster: Vec<String>,
    /// Name of the cluster [default: main].
    #[arg(long, value_name = "NAME", conflicts_with = "data_dir")]
    cluster_name: Option<ClusterName>,
    /// Config file of a node: its `[cluster]` says where NATS is, and how to log in there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    fn cluster(&self) -> anyhow::Result<ClusterConfig> {
        cluster::config(&self.cluster, self.cluster_name.clone(), self.config.as_deref())
    }
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::Check(Check { store }) => check(&store.data_dir),
        Action::Export(Export { store, file }) => {
            let exported = match file.filter(|file| file != Path::new("-")) {
                Some(file) => {
                    let exported = export_to(&store, &file)?;
                    output::line(format_args!("{} exported", exported.records))?;
                    exported
                }
                None => match export(&store, &mut io::stdout().lock()) {
                    // The reader, such as `head`, has read enough.
                    Err(error) if is_closed_pipe(&error) => Exported::default(),
                    exported => exported?,
                },
            };
            anyhow::ensure!(exported.damaged == 0, "left out {} damaged records", exported.damaged);
            Ok(())
        }
        Action::Import(Import { store, file }) => {
            let (name, lines): (_, Box<dyn BufRead>) = if file == Path::new("-") {
                ("standard input".to_owned(), Box::new(io::stdin().lock()))
            } else {
                let name = file.display().to_string();
                let open = File::open(&file).with_context(|| format!("cannot open {name}"))?;
                (name, Box::new(BufReader::new(open)))
            };
            let mut store: Box<dyn Backend> = match &store.data_dir {
                Some(data_dir) => Box::new(Redb::open(data_dir)?),
                None => Box::new(ClusterStore::open(&store.cluster()?)?),
            };
            let done = import::import(store.as_mut(), &name, lines)?;
            output::line(done)
        }
    }
}

fn check(data_dir: &Path) -> anyhow::Result<()> {
    // A check of damaged checksums may leave nothing that can be opened.
    let mut store = Redb::open_copy(data_dir)?;
    let mut damages = 0;
    let mut damaged = |damage: &DamagedRecord| {
        damages += 1;
        output::note(format_args!("damaged: {damage}"));
    };
    let [mut stored, mut history, mut events, mut values, mut subscribers, mut restricted] = [0_u64; 6];
    store.records(|record| {
        match record {
            Ok(StoreRecord::Entry { log, .. }) => match log.kind() {
                LogKind::Stored => stored += 1,
                LogKind::History => history += 1,
                LogKind::Events => events += 1,
            },
            Ok(StoreRecord::Value { key: StateKey::ChannelAttributes(_), .. }) => values += 1,
            Ok(StoreRecord::Value {
                key:
                    StateKey::ForgottenRevision
                    | StateKey::EventCursor(_)
                    | StateKey::AcceptedEvents(_)
                    | StateKey::Open(_),
                ..
            }) => {}
            Ok(StoreRecord::Value { key: StateKey::Subscriptions(..), .. }) => subscribers += 1,
            Ok(StoreRecord::Value { key: StateKey::Restrictions(_), .. }) => restricted += 1,
            Err(damage) => damaged(&damage),
        }
        ControlFlow::Continue(())
    })?;
    store.check(|damage| damaged(&damage))?;
    output::text(&format!(
        "stored messages     {stored}\nhistory             {history}\nevents              {events}\nchannel attributes  {values}\n\
         subscriptions       {subscribers}\nrestrictions        {restricted}\n"
    ))?;
    anyhow::ensure!(damages == 0, "{damages} damaged: an export leaves out the records that cannot be read");
    Ok(())
}

/// Replaces a file only by a whole export: the one that is there may be the only good one.
fn export_to(store: &Place, file: &Path) -> anyhow::Result<Exported> {
    let name = file.display();
    let existing = file.metadata().ok();
    if existing.as_ref().is_some_and(|existing| !existing.is_file()) {
        let mut out = File::options().write(true).open(file).with_context(|| format!("cannot open {name}"))?;
        return export(store, &mut out);
    }
    // What a link leads to is replaced, and not the link.
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut part = NamedTempFile::new_in(folder).with_context(|| format!("cannot create {name}"))?;
    if let Some(existing) = existing {
        part.as_file().set_permissions(existing.permissions()).with_context(|| format!("cannot replace {name}"))?;
    }
    let exported = export(store, part.as_file_mut())?;
    part.as_file().sync_all().context("cannot write the file to the disk")?;
    part.persist(&file).with_context(|| format!("cannot replace {name}"))?;
    Ok(exported)
}

/// What an export came to.
#[derive(Debug, Default)]
struct Exported {
    records: u64,
    damaged: u64,
}

fn export(store: &Place, out: &mut dyn Write) -> anyhow::Result<Exported> {
    let mut out = BufWriter::new(out);
    let mut exported = Exported::default();
    let mut written = Ok(());
    let visit = |record| {
        match record {
            Ok(record) => {
                if let Some(line) = Line::of(record) {
                    written = line.write(&mut out);
                    exported.records += 1;
                }
            }
            Err(damage) => {
                exported.damaged += 1;
                output::note(format_args!("left out: {damage}"));
            }
        }
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    match &store.data_dir {
        Some(data_dir) => Redb::open_existing(data_dir)?.records(visit)?,
        None => ClusterStore::open_existing(&store.cluster()?)?.records(visit)?,
    }
    written.and_then(|()| out.flush()).context("cannot write")?;
    Ok(exported)
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
