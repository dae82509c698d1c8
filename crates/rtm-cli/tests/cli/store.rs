//! `rtm store`, from outside.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use serde_json::{Value, json};

use crate::{
    nats::Nats,
    support::{APP_ID, Server, command, rtm},
};

/// A data directory with the store of format 1 that the server's tests keep.
struct DataDir(tempfile::TempDir);

impl DataDir {
    fn old() -> Self {
        let store = Self(tempfile::tempdir().unwrap());
        let packed = fs::File::open(fixture("store-1.redb.gz")).unwrap();
        let mut file = fs::File::create(store.file()).unwrap();
        std::io::copy(&mut flate2::read::GzDecoder::new(packed), &mut file).unwrap();
        store
    }

    fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("rtm.redb")
    }

    fn run(&self, action: &str, more: &[&str]) -> Output {
        rtm(&[&["store", action, "--data-dir", self.path()], more].concat())
    }

    fn export(&self) -> Vec<Value> {
        values(&succeeded(&self.run("export", &[])))
    }

    /// Imports lines by standard input.
    fn import(&self, lines: &str) -> Output {
        let args = ["store", "import", "--data-dir", self.path(), "-"];
        let mut command = command(&args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // An import that ends early closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
        child.wait_with_output().unwrap()
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../rtm-server/tests/fixtures").join(name)
}

fn values(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn what_it_holds() -> String {
    fs::read_to_string(fixture("store-1.jsonl")).unwrap()
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a command that ended with status 1 said.
fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn message(user: &str, number: u64, text: &str) -> String {
    let line = json!({
        "type": "stored_message", "app_id": APP_ID, "user_id": user, "from": "alice", "message_id": number,
        "server_received_ts": 1_700_000_000_000_u64, "message": {"text": text},
    });
    format!("{line}\n")
}

fn attributes(channel: &str, revision: u64) -> String {
    let attributes =
        json!({"key": {"value": revision.to_string(), "last_update_user_id": "alice", "last_update_ts": 7}});
    let line = json!({
        "type": "channel_attributes", "app_id": APP_ID, "channel_id": channel, "revision": revision,
        "attributes": attributes,
    });
    format!("{line}\n")
}

#[test]
fn an_old_store_is_exported_and_imported_without_loss() {
    let old = DataDir::old();
    let lines = old.export();
    assert_eq!(lines, values(&what_it_holds()));
    let file = old.0.path().join("export.jsonl");
    assert_eq!(succeeded(&old.run("export", &[file.to_str().unwrap()])), "79 exported\n");
    assert_eq!(values(&succeeded(&old.run("export", &["-"]))), lines);
    let new = DataDir::empty();
    let said = succeeded(&new.run("import", &[file.to_str().unwrap()]));
    assert_eq!(said, "79 imported, 0 already in the store\n");
    assert_eq!(new.export(), lines);
    let said = succeeded(&new.run("import", &[file.to_str().unwrap()]));
    assert_eq!(said, "0 imported, 79 already in the store\n");
    assert_eq!(new.export(), lines);
    succeeded(&new.run("check", &[]));
}

#[test]
fn events_are_taken_along() {
    let event = |name: &str, data: Value| json!({ "type": "event", "app_id": APP_ID, "time": 1_700_000_000_000_u64, "event": name, "data": data });
    let session = "00000000deadbeef";
    let events = [
        event("session.started", json!({ "user_id": "alice", "session": session, "takeover": false, "server": "one" })),
        event("message.evicted", json!({ "to": "alice", "messages": 3 })),
        event("user.banned", json!({ "user_id": "alice", "until": 1_800_000_000_000_u64 })),
    ];
    let store = DataDir::empty();
    let file = store.0.path().join("events.jsonl");
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    fs::write(&file, &lines).unwrap();
    assert_eq!(succeeded(&store.run("import", &[file.to_str().unwrap()])), "3 imported, 0 already in the store\n");
    assert_eq!(store.export(), events);
    assert!(succeeded(&store.run("check", &[])).contains("events              3\n"));
    for (bad, why) in
        [(event("user.offline", json!({ "user_id": "alice" })), "data"), (event("nonsense", json!({})), "nonsense")]
    {
        fs::write(&file, bad.to_string()).unwrap();
        let output = store.run("import", &[file.to_str().unwrap()]);
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("{}, line 1", file.display())) && said.contains(why), "{said}");
    }
}

#[test]
fn an_old_store_is_brought_up_with_one_line() {
    let old = DataDir::old();
    let output = old.run("check", &[]);
    let counts = "stored messages     11\nhistory             63\nevents              0\nchannel attributes  5\nsubscriptions       0\nrestrictions        0\n";
    assert_eq!(succeeded(&output), counts);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((said.lines().count(), said.contains("brought up")), (1, true), "{said}");
    let output = old.run("export", &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((said.lines().count(), said.contains("brought up")), (1, true), "check left the file as it was: {said}");
    assert!(old.run("export", &[]).stderr.is_empty());
    assert!(old.run("check", &[]).stderr.is_empty());
}

#[test]
fn a_check_of_a_damaged_old_store_leaves_what_can_be_read() {
    let old = DataDir::old();
    let file = old.0.path().join("rtm.redb");
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(7).position(|text| text == b"another").unwrap();
    bytes[at] ^= 1;
    fs::write(&file, &bytes).unwrap();
    assert!(failed(&old.run("check", &[])).contains("checksums"));
    assert_eq!(fs::read(&file).unwrap(), bytes);
    assert_eq!(fs::read_dir(old.0.path()).unwrap().count(), 1, "the copy is gone");
    assert_eq!(old.export().len(), 79);
}

#[test]
fn an_import_joins_what_is_there() {
    let store = DataDir::empty();
    let first = [message("bob", 1, "one"), message("bob", 2, "two"), attributes("room", 5)].concat();
    assert_eq!(succeeded(&store.import(&first)), "3 imported, 0 already in the store\n");
    let second = [
        message("bob", 2, "two"),
        "  \n".to_owned(),
        message("bob", 2, "two, said otherwise"),
        message("bob", 3, "three"),
        message("bob", 3, "three"),
        message("carol", 2, "two"),
        attributes("room", 4),
        attributes("hall", 1),
    ];
    let said = succeeded(&store.import(&second.concat()));
    assert_eq!(said, "4 imported, 2 already in the store, 1 not newer than the store's\n");
    let texts: Vec<_> = store.export().iter().map(|line| line["message"]["text"].clone()).collect();
    assert_eq!(texts[..5], ["one", "two", "two, said otherwise", "three", "two"]);
    let kept: Vec<_> = store.export().iter().filter_map(|line| line["revision"].as_u64()).collect();
    assert_eq!(kept, [1, 5], "of hall and room");
    let newer = succeeded(&store.import(&attributes("room", 6)));
    assert_eq!(newer, "1 imported, 0 already in the store\n");
    succeeded(&store.run("check", &[]));
}

#[test]
fn subscriptions_are_taken_elsewhere_and_the_newer_ones_stay() {
    let kept = |instance: &str, last_seen_ts: u64, peers: &[&str]| {
        let line = json!({
            "type": "subscriptions", "app_id": APP_ID, "user_id": "alice", "instance": instance,
            "last_seen_ts": last_seen_ts, "peers": peers,
        });
        format!("{line}\n")
    };
    let (store, other) = (DataDir::empty(), DataDir::empty());
    let lines = [kept("object-1", 7, &["bob", "carol"]), kept("object-2", 8, &["dave"])].concat();
    assert_eq!(succeeded(&store.import(&lines)), "2 imported, 0 already in the store\n");
    assert_eq!(store.export(), values(&lines));
    assert_eq!(succeeded(&other.import(&kept("object-1", 9, &["erin"]))), "1 imported, 0 already in the store\n");
    let said = succeeded(&other.import(&lines));
    assert_eq!(said, "1 imported, 0 already in the store, 1 not newer than the store's\n");
    assert_eq!(other.export(), values(&[kept("object-1", 9, &["erin"]), kept("object-2", 8, &["dave"])].concat()));
    assert!(succeeded(&other.run("check", &[])).contains("subscriptions       2\n"));
    for (line, why) in [
        (kept("", 7, &["bob"]), "instance"),
        (kept("object-1", 7, &[]), "peers are not 1 to 512"),
        (kept("object-1", 7, &["b", ""]), "peers"),
        (kept("object-1", u64::MAX, &["bob"]), "last_seen_ts"),
    ] {
        let said = failed(&other.import(&line));
        assert!(said.contains("line 1: ") && said.contains(why), "{said}");
    }
}

#[test]
fn a_bad_line_is_named_and_what_came_before_it_is_kept() {
    let good = message("bob", 1, "one");
    let with = |change: fn(&mut Value)| {
        let mut line: Value = serde_json::from_str(&good).unwrap();
        change(&mut line);
        format!("{line}\n")
    };
    let bad = [
        ("{\n".to_owned(), "EOF"),
        ("[]\n".to_owned(), "line 2"),
        (with(|line| line["type"] = json!("sound")), "unknown variant `sound`"),
        (with(|line| line["note"] = json!("more")), "unknown field `note`"),
        (with(|line| drop(line.as_object_mut().unwrap().remove("from"))), "missing field `from`"),
        (with(|line| line["app_id"] = json!("short")), "app_id"),
        (with(|line| line["user_id"] = json!("")), "user_id"),
        (with(|line| line["message_id"] = json!(-1)), "-1"),
        (with(|line| line["server_received_ts"] = json!(u64::MAX)), "server_received_ts"),
        (with(|line| line["message"] = json!({"binary": "*"})), "message"),
        (with(|line| line["message"] = json!({"value": "AP8="})), "message"),
        (with(|line| line["message"] = json!({"text": ""})), "empty"),
        (with(|line| line["message"] = json!({"text": "x".repeat(32_769)})), "longer than 32768"),
        (with(|line| line["message"] = json!({"text": "x".repeat(600_000)})), "longer than any record"),
        (with(|line| line["type"] = json!("history")), "unknown field `user_id`"),
    ];
    for (line, why) in bad {
        let store = DataDir::empty();
        let said = failed(&store.import(&format!("{good}{line}{}", message("bob", 9, "after it"))));
        let start: String = line.chars().take(100).collect();
        assert!(said.contains("line 2: ") && said.contains(why), "{start}: {said}");
        assert!(said.contains("1 imported"), "{said}");
        assert_eq!(store.export(), values(&good), "{start}");
    }
}

#[test]
fn damage_is_named_and_the_rest_is_exported() {
    let store = DataDir::old();
    store.export();
    let database = redb::Database::open(store.file()).unwrap();
    let transaction = database.begin_write().unwrap();
    let entries = redb::TableDefinition::<(&str, &str, u64), &[u8]>::new("log_stored");
    transaction.open_table(entries).unwrap().insert((APP_ID, "carol", 9_u64), &b"\x01nonsense"[..]).unwrap();
    let counts = redb::TableDefinition::<(&str, &str), u64>::new("counts_stored");
    transaction.open_table(counts).unwrap().insert((APP_ID, "dora"), 3).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let output = store.run("check", &[]);
    let said = failed(&output);
    assert!(said.contains(&format!("damaged: stored {APP_ID} \"carol\" ")), "{said}");
    assert!(said.contains("\"dora\": 3 entries are counted, and 0 are there"), "{said}");
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("stored messages     "));
    let output = store.run("export", &[]);
    assert!(failed(&output).contains("left out: stored"), "{output:?}");
    assert!(values(&String::from_utf8(output.stdout).unwrap()).len() >= 78);
}

#[test]
fn a_store_in_use_is_left_alone() {
    let store = DataDir::empty();
    let server = Server::start(&["--data-dir", store.path()]);
    for action in ["check", "export"] {
        let said = failed(&store.run(action, &[]));
        assert!(said.contains("another process has it open: stop the server"), "{said}");
    }
    assert!(failed(&store.import("")).contains("another process has it open"));
    drop(server);
}

#[test]
fn a_store_that_is_none_is_not_made() {
    let store = DataDir::empty();
    for action in ["check", "export"] {
        let said = failed(&store.run(action, &[]));
        assert!(said.contains("rtm.redb"), "{said}");
        assert!(!store.file().exists());
    }
    fs::write(store.file(), "notes").unwrap();
    assert!(failed(&store.run("check", &[])).contains("it is not a store of this server"));
    assert_eq!(store.run("check", &["--nonsense"]).status.code(), Some(2));
    assert_eq!(rtm(&["store", "import", "--data-dir", store.path()]).status.code(), Some(2));
    let said = failed(&store.run("import", &["/nowhere/at/all"]));
    assert!(said.contains("cannot open /nowhere/at/all"), "{said}");
}

#[test]
fn an_export_that_fails_leaves_the_file_of_the_last_one() {
    let directory = tempfile::tempdir().unwrap();
    let (file, folder) = (directory.path().join("backup.jsonl"), directory.path());
    fs::write(&file, "the last good one").unwrap();
    for (option, value) in [("--data-dir", folder.join("typo").to_str().unwrap()), ("--cluster", "nats://127.0.0.1:1")]
    {
        let output = rtm(&["store", "export", option, value, file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "the last good one", "{option}");
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "nothing else is left there");
}

#[test]
fn an_export_whose_reader_has_enough_ends_quietly() {
    let store = DataDir::old();
    store.export();
    let args = ["store", "export", "--data-dir", store.path()];
    let mut child = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut some = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn check_and_export_go_on_behind_a_page_that_cannot_be_read_and_name_what_is_lost() {
    let store = DataDir::empty();
    let text = |n: usize| format!("<{n}>{}", "x".repeat(500));
    let line = |n: usize| {
        json!({
            "type": "stored_message", "app_id": APP_ID, "user_id": format!("user{n}"), "from": "alice",
            "message_id": n, "server_received_ts": 1_700_000_000_000_u64 + n as u64, "message": { "text": text(n) },
        })
    };
    let lines: String = (0..60).map(|n| format!("{}\n", line(n))).collect();
    succeeded(&store.import(&lines));
    let whole = store.export();
    assert_eq!(whole.len(), 60);

    let mut file = fs::read(store.file()).unwrap();
    let lost = text(30);
    for page in file.chunks_mut(4096) {
        if page.windows(lost.len()).any(|window| window == lost.as_bytes()) {
            page.fill(0);
        }
    }
    fs::write(store.file(), &file).unwrap();

    for action in ["check", "export"] {
        let output = store.run(action, &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{action}: {said}");
        let named = said.lines().filter(|line| line.contains("stored ") && line.contains("\"user")).count();
        assert!(said.contains("\"user30\"") && !said.contains("panicked"), "{action}: {said}");
        if action == "export" {
            let lines = String::from_utf8(output.stdout).unwrap();
            assert_eq!(lines.lines().count() + named, 60, "{said}");
            assert!(said.contains("left out"), "{said}");
        }
    }
}

/// The store of a cluster at the NATS server of a test.
fn in_cluster(nats: &Nats, action: &str, more: &[&str]) -> Output {
    rtm(&[&["store", action, "--cluster", &nats.urls().join(",")], more].concat())
}

#[test]
#[ignore = "needs NATS_SERVER"]
fn a_data_directory_moves_into_a_cluster_and_back() {
    let nats = Nats::start(1);
    let said = failed(&in_cluster(&nats, "export", &[]));
    assert!(
        said.contains("cannot open the store of the cluster main") && said.contains("there is no cluster of this name"),
        "{said}"
    );
    let old = DataDir::old();
    let lines = old.export();
    let file = old.0.path().join("export.jsonl");
    succeeded(&old.run("export", &[file.to_str().unwrap()]));
    let said = succeeded(&in_cluster(&nats, "import", &[file.to_str().unwrap()]));
    assert_eq!(said, "79 imported, 0 already in the store\n");
    let said = succeeded(&in_cluster(&nats, "import", &[file.to_str().unwrap()]));
    assert_eq!(said, "0 imported, 79 already in the store\n");
    let other = succeeded(&in_cluster(&nats, "import", &["--cluster-name", "other", file.to_str().unwrap()]));
    assert_eq!(other, "79 imported, 0 already in the store\n", "a cluster of another name has streams of its own");

    let back = old.0.path().join("back.jsonl");
    succeeded(&in_cluster(&nats, "export", &[back.to_str().unwrap()]));
    let new = DataDir::empty();
    succeeded(&new.run("import", &[back.to_str().unwrap()]));
    assert_eq!(new.export(), lines);
}

#[test]
#[ignore = "needs NATS_SERVER"]
fn ten_thousand_stored_messages_move_into_a_cluster_once() {
    let nats = Nats::start(3);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("export.jsonl");
    let lines: String = (0..10_000).map(|number| message(&format!("user {}", number % 100), number, "hello")).collect();
    fs::write(&file, &lines).unwrap();
    let file = file.to_str().unwrap();
    // JetStream of three servers needs a moment to find itself.
    let start = std::time::Instant::now();
    let said = loop {
        let output = in_cluster(&nats, "import", &[file]);
        if output.status.success() || start.elapsed().as_secs() > 20 {
            break succeeded(&output);
        }
    };
    assert_eq!(said, "10000 imported, 0 already in the store\n");
    let said = succeeded(&in_cluster(&nats, "import", &[file]));
    assert_eq!(said, "0 imported, 10000 already in the store\n");
    let exported = values(&succeeded(&in_cluster(&nats, "export", &[])));
    assert_eq!(exported.len(), 10_000);
    for user in ["user 0", "user 99"] {
        let of_user = |lines: &[Value]| {
            let of_user = lines.iter().filter(|line| line["user_id"] == user);
            of_user.map(|line| line["message_id"].as_u64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of_user(&exported), of_user(&values(&lines)), "each user's are in their order");
    }
}

#[test]
fn a_store_is_in_a_directory_or_in_a_cluster() {
    for args in [
        &["store", "export"][..],
        &["store", "export", "--cluster", "nats://127.0.0.1:1", "--data-dir", "x"],
        &["store", "export", "--cluster-name", "x", "--data-dir", "x"],
        &["store", "check", "--cluster", "nats://127.0.0.1:1"],
    ] {
        assert_eq!(rtm(args).status.code(), Some(2), "{args:?}");
    }
    let said = failed(&rtm(&["store", "import", "--cluster", "nats://127.0.0.1:1", "/dev/null"]));
    assert!(said.contains("cannot open the store of the cluster main at nats://127.0.0.1:1"), "{said}");
}
