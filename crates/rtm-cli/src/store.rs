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
use rtm_server::{
    ClusterConfig, ClusterName, ClusterStore, DamagedRecord, Redb, StoreRecord,
    core::{
        StateKey,
        store::{Backend, LogKind},
    },
};

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
    /// File to write [default: standard output]. An existing file is replaced.
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
struct Place {
    /// Data directory of the server.
    #[arg(long, value_name = "DIR", required_unless_present_any = ["cluster", "config"], conflicts_with_all = ["cluster", "config"])]
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
        Action::Export(Export { store, file: None }) => {
            let mut out = BufWriter::new(io::stdout().lock());
            match export(&store, &mut out) {
                // The reader, such as `head`, has read enough.
                Err(error) if is_closed_pipe(&error) => Ok(()),
                done => done,
            }
        }
        Action::Export(Export { store, file: Some(file) }) => {
            let mut out =
                BufWriter::new(File::create(&file).with_context(|| format!("cannot create {}", file.display()))?);
            export(&store, &mut out).with_context(|| format!("{} is incomplete", file.display()))?;
            let file = out.into_inner().context("cannot write the end of the file")?;
            file.sync_all().context("cannot write the file to the disk")
        }
        Action::Import(Import { store, file }) => {
            let lines: Box<dyn BufRead> = if file == Path::new("-") {
                Box::new(io::stdin().lock())
            } else {
                let name = file.display();
                Box::new(BufReader::new(File::open(&file).with_context(|| format!("cannot open {name}"))?))
            };
            let mut store: Box<dyn Backend> = match &store.data_dir {
                Some(data_dir) => Box::new(Redb::open(data_dir)?),
                None => Box::new(ClusterStore::open(&store.cluster()?)?),
            };
            let done = import::import(store.as_mut(), lines)?;
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
            Ok(StoreRecord::Value { key: StateKey::ForgottenRevision | StateKey::EventCursor(_), .. }) => {}
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

fn export(store: &Place, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut damages = 0;
    let mut written = Ok(());
    let visit = |record| {
        match record {
            Ok(record) => {
                if let Some(line) = Line::of(record) {
                    written = line.write(out);
                }
            }
            Err(damage) => {
                damages += 1;
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
    anyhow::ensure!(damages == 0, "left out {damages} damaged records");
    Ok(())
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
