//! `lists`: how long a core is held for what operators read, with many sessions: at most a millisecond at a time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::Parser;
use rtm_codec::{
    AppId, CallLimits, ChannelId, ClientFrame, Command, InstanceId, JoinChannel, KeepAlive, Login, RequestId, UserId,
    Wire,
};
use rtm_core::{AdminCall, Census, Core, Now, ProjectConfig, Restriction, StoreAnswer, StoreDone};

/// Reads a slice of a list from a place on, and gives where to go on.
type Read = dyn Fn(&Core, usize) -> Option<usize>;

/// Read every list of a core in slices; fail where a slice takes over a millisecond.
#[derive(Debug, Parser)]
struct Args {
    /// How many sessions the core has.
    #[arg(long, default_value_t = 100_000)]
    sessions: usize,
    /// How often each list is read: the best time of a slice counts, since a busy machine makes any of them late.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut core = crowded(args.sessions)?;
    let room = ChannelId::new("all")?;
    let now = now();
    let lists: [(&str, Box<Read>); 5] = [
        ("sessions", Box::new(move |core, from| core.inspect_sessions(now, from, SLICE, drop))),
        ("channels", Box::new(|core, from| core.inspect_channels(from, SLICE, drop))),
        ("census", Box::new(|core, from| core.count_sessions(from, SLICE, &mut Census::default()))),
        ("members", Box::new(move |core, from| core.inspect_members(&room, from, SLICE).1)),
        (
            "bans",
            Box::new(move |core, from| {
                let after = (from > 0).then(|| user(from - 1)).and_then(Result::ok);
                let found = core.inspect_restrictions(now, after.as_ref(), SLICE);
                (found.len() == SLICE).then_some(from + SLICE)
            }),
        ),
    ];
    let mut is_late = false;
    for (name, read) in lists {
        let (longest, slices) = longest(&core, args.rounds, &read);
        println!("{name:<10} {slices:>5} slices, the longest {:>7.1} us", longest.as_secs_f64() * 1e6);
        is_late |= longest > MOST;
    }
    // Revoking the tokens of all looks at all sessions too.
    core.admin(now, AdminCall::Restrict { user_id: None, restriction: Restriction::TokensFrom(1) });
    anyhow::ensure!(!is_late, "a list holds the core for more than {MOST:?}");
    Ok(())
}

/// The longest slice of a list, each at its best, and how many there are.
fn longest(core: &Core, rounds: usize, read: &Read) -> (Duration, usize) {
    let mut best: Vec<Duration> = Vec::new();
    for _ in 0..rounds.max(1) {
        let mut from = Some(0);
        let mut slice = 0;
        while let Some(at) = from {
            let begun = Instant::now();
            from = read(core, at);
            let took = begun.elapsed();
            match best.get_mut(slice) {
                Some(best) => *best = took.min(*best),
                None => best.push(took),
            }
            slice += 1;
        }
    }
    (best.iter().copied().max().unwrap_or_default(), best.len())
}

/// A core with so many users, all in one channel and each in one of its own; one in ten is banned besides.
fn crowded(sessions: usize) -> anyhow::Result<Core> {
    let app_id = AppId::new("0123456789abcdef0123456789abcdef")?;
    let mut config = ProjectConfig::new(app_id.clone());
    config.limits = CallLimits::unlimited();
    let mut core = Core::new(config, [7; 32], now());
    let (mut out, mut wakes, mut jobs) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..sessions {
        let conn = core.connect();
        let login = Login {
            app_id: app_id.clone(),
            user_id: Some(user(number)?),
            token: None,
            instance: InstanceId::new("bench")?,
            resume: None,
            keep_alive: KeepAlive::Client { interval_ms: 20_000 },
            window: 0,
            abilities: Wire::Native.abilities(),
            gateway_session: None,
        };
        core.handle_frame(now(), conn, ClientFrame::Login(Box::new(login)));
        for (id, channel) in [(1, "all".to_owned()), (2, format!("room-{number}"))] {
            let command = Command::from(JoinChannel { channel_id: ChannelId::new(channel)? });
            core.handle_frame(now(), conn, ClientFrame::Request { id: RequestId(id), command });
        }
        core.take_output(conn, &mut out);
        if number % 10 == 0 {
            let restriction = Restriction::BannedUntil(u64::MAX);
            core.admin(now(), AdminCall::Restrict { user_id: Some(user(sessions + number)?), restriction });
        }
        core.take_store_jobs(&mut jobs);
        for job in jobs.drain(..) {
            core.handle_stored(now(), StoreDone { id: job.id, result: Ok(StoreAnswer::Done) });
        }
        out.clear();
        wakes.clear();
        core.take_wakes(&mut wakes);
    }
    anyhow::ensure!(core.figures().sessions == sessions, "not all users are there");
    Ok(core)
}

fn user(number: usize) -> anyhow::Result<UserId> {
    UserId::new(format!("user-{number:07}")).context("it is a user id")
}

fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant: Instant::now(), unix_ms: unix.as_millis() as u64 }
}

/// As the admin API reads them.
const SLICE: usize = 256;
const MOST: Duration = Duration::from_millis(1);
