//! What back ends of a cluster are told and asked, and what Prometheus sees of its nodes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rtm_client::{ErrorKind, Wire};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    operator::Operated,
    users::{APP_ID, LIMIT, is_text, soon},
};

/// A back end, and the bodies that it got.
struct BackEnd {
    port: u16,
    got: Arc<Mutex<Vec<Value>>>,
}

impl BackEnd {
    fn start(answer: fn(&Value) -> Value) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let got = Arc::<Mutex<Vec<Value>>>::default();
        let kept = Arc::clone(&got);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let kept = Arc::clone(&kept);
                thread::spawn(move || answer_all(stream.unwrap(), &kept, answer));
            }
        });
        Self { port, got }
    }

    /// A table of the configuration, as far as all of them are alike.
    fn table(&self, name: &str) -> String {
        format!(
            "[[project.{name}]]\nurl = \"http://127.0.0.1:{}/\"\nallow_private = true\n\
             secrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]\n",
            self.port
        )
    }

    fn got(&self) -> Vec<Value> {
        self.got.lock().unwrap().clone()
    }

    /// The numbers of all events of the log that it was told, with their types and users, in the order in which they came.
    fn told(&self) -> Vec<(u64, String)> {
        let of_request = |body: Value| body["data"]["events"].as_array().cloned().unwrap_or_else(|| vec![body]);
        let of_log = self.got().into_iter().flat_map(of_request).filter(|event| event["seq"].is_u64());
        of_log.map(|event| named(&event)).collect()
    }
}

/// Answers the requests of a connection, one after the other.
fn answer_all(stream: TcpStream, got: &Mutex<Vec<Value>>, answer: fn(&Value) -> Value) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let body = serde_json::from_slice(&body).unwrap();
        let answer = answer(&body).to_string();
        got.lock().unwrap().push(body);
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", answer.len());
        if writer.write_all(format!("{head}{answer}").as_bytes()).is_err() {
            return;
        }
    }
}

fn named(event: &Value) -> (u64, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (event["seq"].as_u64().unwrap(), format!("{} {}", text(&event["type"]), text(&event["data"]["user_id"])))
}

/// Waits until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let so = async {
        while !is_so() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LIMIT, so).await.unwrap_or_else(|_| panic!("{what}: that does not come true"));
}

impl Operated {
    /// What has happened to users, as the log has it.
    fn log(&self, node: usize) -> Vec<(u64, String)> {
        let lines = self.admin_text(node, &["events", "--app-id", APP_ID, "--types", "user.*"]);
        lines.lines().map(|line| named(&serde_json::from_str(line).unwrap())).collect()
    }

    /// What a node says of the endpoint, from what it knows itself.
    fn webhook(&self, node: usize) -> Value {
        self.admin(node, &["webhooks", "--app-id", APP_ID, "--node", &format!("node-{node}")])["items"][0].clone()
    }

    /// Which of these nodes tells the endpoint.
    fn teller(&self, nodes: &[usize]) -> Option<usize> {
        let tells = |node: &usize| !["elsewhere", "waiting"].iter().any(|state| self.webhook(*node)["state"] == *state);
        let mut tellers = nodes.iter().copied().filter(tells);
        tellers.next().filter(|_| tellers.next().is_none())
    }

    /// The same once it stays so: the first node tells it until others have joined.
    async fn last_teller(&self, nodes: &[usize]) -> usize {
        let stays = async {
            loop {
                let teller = self.teller(nodes);
                sleep(Duration::from_secs(3)).await;
                if let Some(teller) = teller
                    && self.teller(nodes) == Some(teller)
                {
                    return teller;
                }
            }
        };
        timeout(LIMIT, stays).await.expect("one node tells the endpoint")
    }

    /// The numbers of a metric of a node, by its labels.
    fn metric(&self, node: usize, name: &str) -> BTreeMap<String, f64> {
        let port = self.port(node);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let samples = page.lines().filter_map(|line| {
            let (series, number) = line.rsplit_once(' ')?;
            let labels = series.strip_prefix(name)?;
            let is_series = labels.is_empty() || labels.starts_with('{');
            is_series.then(|| (labels.to_owned(), number.parse().unwrap()))
        });
        samples.collect()
    }
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn an_endpoint_gets_each_event_once_also_when_the_node_is_killed_that_told_it() {
    let endpoint = BackEnd::start(|_| json!({}));
    let webhook = format!("{}name = \"crm\"\ntypes = [\"user.*\"]\n", endpoint.table("webhook"));
    let mut nodes = Operated::start_with(3, &format!("[[project]]\napp_id = \"{APP_ID}\"\n{webhook}")).await;
    nodes.last_teller(&[0, 1, 2]).await;
    let mut users = Vec::new();
    for node in 0..3 {
        users.push(nodes.nodes.log_in(Wire::Native, &format!("user-{node}"), &[node]).await);
    }
    let is_told = |what: &str| endpoint.told().iter().any(|(_, event)| event == what);
    for node in 0..3 {
        until("a user comes online", || is_told(&format!("user.online user-{node}"))).await;
    }
    let teller = nodes.teller(&[0, 1, 2]).unwrap();
    // How far the endpoint is, is kept once a second.
    until("all is settled", || {
        let webhook = nodes.webhook(teller);
        webhook["pending"] == 0 && webhook["settled"].as_u64() >= endpoint.told().last().map(|(seq, _)| *seq)
    })
    .await;
    sleep(Duration::from_secs(3)).await;
    nodes.nodes.kill(teller);
    let left: Vec<usize> = (0..3).filter(|node| *node != teller).collect();
    users.push(nodes.nodes.log_in(Wire::Vendor, "late", &left[..1]).await);
    until("another node tells the endpoint", || nodes.teller(&left).is_some()).await;
    until("the new user comes online", || is_told("user.online late")).await;
    until("the user of the dead node goes offline", || is_told(&format!("user.offline user-{teller}"))).await;
    until("the endpoint has all that the log has", || {
        let mut told = endpoint.told();
        told.sort();
        told == nodes.log(left[0])
    })
    .await;
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_new_endpoint_gets_what_happens_from_when_the_first_node_knows_it() {
    let project = format!("[[project]]\napp_id = \"{APP_ID}\"\n");
    let nodes = Operated::start_with(2, &project).await;
    let before = nodes.nodes.log_in(Wire::Native, "before", &[0]).await;
    until("the log has it", || nodes.log(0).iter().any(|(_, event)| event == "user.online before")).await;
    let endpoint = BackEnd::start(|_| json!({}));
    nodes.configure(&format!("{project}{}name = \"crm\"\ntypes = [\"user.*\"]\n", endpoint.table("webhook")));
    for node in 0..2 {
        nodes.admin(node, &["reload"]);
        if node == 0 {
            // The other one, which may be the one that tells the endpoint, does not know it yet.
            nodes.nodes.log_in(Wire::Native, "early", &[0]).await;
        }
    }
    let begun = Instant::now();
    for node in 0..2 {
        nodes.nodes.log_in(Wire::Native, &format!("late-{node}"), &[node]).await;
    }
    let online = |name: &str| format!("user.online {name}");
    let is_told = |name: &str| endpoint.told().iter().any(|(_, event)| *event == online(name));
    for name in ["early", "late-0", "late-1"] {
        until("the endpoint is told", || is_told(name)).await;
    }
    assert!(!is_told("before"), "that was earlier");
    // Nobody has ever told it anything, so there is nothing to wait for.
    assert!(begun.elapsed() < Duration::from_secs(12), "it took {:?}", begun.elapsed());
    let epochs: BTreeSet<_> =
        endpoint.got().iter().map(|body| body["data"]["events"][0]["epoch"].to_string()).collect();
    assert_eq!(epochs.len(), 1, "{epochs:?}");
    for node in 0..2 {
        let call = |call: &str| nodes.admin(node, &[call, "--app-id", APP_ID, "crm"]);
        assert_eq!(call("test-webhook")["taken"], true, "node {node}");
    }
    drop(before);
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn limits_are_set_on_all_nodes_or_on_one() {
    let mut nodes = Operated::start_with(2, &format!("[[project]]\napp_id = \"{APP_ID}\"\n")).await;
    let held = |nodes: &Operated, node: usize| {
        let name = format!("node-{node}");
        let list = nodes.admin(0, &["limits", "--app-id", APP_ID, "--node", &name]);
        let items = list["items"].as_array().unwrap();
        items.iter().find(|item| item["call"] == "get_members").unwrap()["limit"].as_str().unwrap().to_owned()
    };
    nodes.admin(1, &["limits", "--app-id", APP_ID, "get_members=7/1s"]);
    assert_eq!([held(&nodes, 0), held(&nodes, 1)], ["7/1s", "7/1s"]);
    nodes.admin(0, &["limits", "--app-id", APP_ID, "--node", "node-1", "get_members=9/1s"]);
    assert_eq!([held(&nodes, 0), held(&nodes, 1)], ["7/1s", "9/1s"]);
    nodes.nodes.kill(1);
    let refused = nodes.admin_fault(0, &["limits", "--app-id", APP_ID, "get_members=8/1s"]).unwrap_or_default();
    assert!(refused.contains("node-0 did it, but the node node-1 does not answer"), "{refused}");
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn an_operator_steers_an_endpoint_from_any_node_and_a_paused_one_stays_so() {
    let endpoint = BackEnd::start(|_| json!({}));
    let webhook = format!("{}name = \"crm\"\ntypes = [\"user.*\"]\n", endpoint.table("webhook"));
    let mut nodes = Operated::start_with(3, &format!("[[project]]\napp_id = \"{APP_ID}\"\n{webhook}")).await;
    let teller = nodes.last_teller(&[0, 1, 2]).await;
    let left: Vec<usize> = (0..3).filter(|node| *node != teller).collect();
    let call = |nodes: &Operated, node: usize, call: &str| nodes.admin(node, &[call, "--app-id", APP_ID, "crm"]);
    for node in 0..3 {
        let listed = nodes.admin(node, &["webhooks", "--app-id", APP_ID])["items"][0].clone();
        assert_eq!((listed["state"].as_str(), &listed["name"]), (Some("working"), &json!("crm")), "node {node}");
        assert_eq!(call(&nodes, node, "test-webhook")["taken"], true, "node {node}");
    }
    assert_eq!(call(&nodes, left[0], "pause-webhook")["done"], true);
    until("it is paused", || nodes.webhook(teller)["state"] == "paused").await;
    nodes.nodes.stop(teller, Duration::from_secs(70)).await;
    until("another node tells the endpoint", || nodes.teller(&left).is_some()).await;
    assert_eq!(nodes.webhook(nodes.teller(&left).unwrap())["state"], "paused");
    let _alice = nodes.nodes.log_in(Wire::Native, "alice", &[left[0]]).await;
    let is_online = |(_, event): &(u64, String)| event == "user.online alice";
    until("it waits in the log", || nodes.log(left[0]).iter().any(is_online)).await;
    assert!(!endpoint.told().iter().any(is_online));
    assert_eq!(call(&nodes, left[1], "enable-webhook")["done"], true);
    until("the endpoint is told", || endpoint.told().iter().any(is_online)).await;
    for node in left {
        let attempts = call(&nodes, node, "webhook-attempts");
        assert_eq!(attempts["items"][0]["taken"], true, "node {node}: {attempts}");
    }
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_hook_is_asked_by_the_node_of_the_user() {
    let back_end = BackEnd::start(|question| match question["type"].as_str() {
        Some("authorize_join") if question["channel_id"] == "secret" => {
            json!({ "allow": false, "reason": "not for you" })
        }
        Some("filter_message") => json!({ "text": question["text"].as_str().unwrap().to_uppercase() }),
        _ => json!({ "allow": true }),
    });
    let hook =
        |kind: &str| format!("{}type = \"{kind}\"\ntimeout = \"5s\"\non_error = \"deny\"\n", back_end.table("hook"));
    let hooks = hook("authorize_join") + &hook("filter_message");
    let nodes = Operated::start_with(3, &format!("[[project]]\napp_id = \"{APP_ID}\"\n{hooks}")).await;
    let mut users = Vec::new();
    for node in 0..3 {
        users.push(nodes.nodes.log_in(Wire::Native, &format!("user-{node}"), &[node]).await);
    }
    for node in 0..3 {
        let (name, text) = (format!("user-{node}"), format!("hello from {node}"));
        let next = format!("user-{}", (node + 1) % 3);
        let client = users[node].client.clone();
        soon("joining", client.channel("open").unwrap().join()).await.unwrap();
        let refused = soon("joining", client.channel("secret").unwrap().join()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Rejected, "{refused}");
        soon("sending", client.send_message_to_peer(&next, text.as_str())).await.unwrap();
        let loud = text.to_uppercase();
        users[(node + 1) % 3].event("the message", |event| is_text(event, &name, &loud)).await;
        let asked = back_end.got().into_iter().filter(|question| question["user_id"] == name.as_str());
        let asked: Vec<_> = asked.map(|question| question["type"].as_str().unwrap().to_owned()).collect();
        assert_eq!(asked, ["authorize_join", "authorize_join", "filter_message"]);
        // The other nodes were not asked for it.
        let calls = nodes.metric(node, "rtm_hook_calls_total");
        let count = |hook: &str, result: &str| {
            let is_it = |labels: &str| {
                labels.contains(&format!("hook=\"{hook}\"")) && labels.contains(&format!("result=\"{result}\""))
            };
            calls.iter().filter(|(labels, _)| is_it(labels)).map(|(_, count)| *count).sum::<f64>()
        };
        let counts = [("authorize_join", "allowed"), ("authorize_join", "denied"), ("filter_message", "replaced")];
        assert_eq!(counts.map(|(hook, result)| count(hook, result)), [1.0, 1.0, 1.0], "node {node}: {calls:?}");
    }
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn each_node_shows_its_lease_and_the_others_in_its_metrics() {
    let mut nodes = Operated::start(3).await;
    let the_one = |nodes: &Operated, node: usize, name: &str| {
        let samples = nodes.metric(node, name);
        assert_eq!(samples.len(), 1, "{name} of node {node}: {samples:?}");
        samples.into_values().next().unwrap()
    };
    let members = |nodes: &Operated, node: usize| nodes.metric(node, "rtm_cluster_nodes").into_values().sum::<f64>();
    for node in 0..3 {
        until("a node sees all of them", || members(&nodes, node) == 3.0).await;
        let age = the_one(&nodes, node, "rtm_cluster_lease_age_seconds");
        assert!((0.0..4.0).contains(&age), "the lease of node {node} is {age} s old");
        assert_eq!(the_one(&nodes, node, "rtm_cluster_isolated"), 0.0, "node {node}");
        assert!(the_one(&nodes, node, "rtm_cluster_epoch") >= 1.0, "node {node}");
    }
    let before = the_one(&nodes, 0, "rtm_cluster_epoch");
    nodes.nodes.kill(2);
    until("the dead node is out", || members(&nodes, 0) == 2.0 && members(&nodes, 1) == 2.0).await;
    let epochs = [0, 1].map(|node| the_one(&nodes, node, "rtm_cluster_epoch"));
    assert!(epochs.iter().all(|epoch| *epoch > before), "{before} {epochs:?}");
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_quota_of_stored_bytes_holds_for_all_nodes_together() {
    let project = format!("[[project]]\napp_id = \"{APP_ID}\"\nstored_bytes = \"256KiB\"\n");
    let nodes = Operated::start_with(2, &project).await;
    let alice = nodes.nodes.log_in(Wire::Native, "alice", &[0]).await;
    let carol = nodes.nodes.log_in(Wire::Native, "carol", &[1]).await;
    let text = "x".repeat(30_000);
    let send = async |client: &rtm_client::Client| {
        let options = rtm_client::SendMessageOptions::new().enable_offline_messaging(true);
        soon("sending", client.send_message_to_peer_with("bob", text.as_str(), options)).await
    };
    let mut stored = 0;
    let refused = loop {
        match send(&alice.client).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 20, "nothing is refused");
    };
    assert!(refused.kind() == ErrorKind::ExceedLimit && refused.to_string().contains("stored_bytes"), "{refused}");
    assert_eq!(stored, 8, "so many are within 256 KiB");
    let is_measured = |(labels, bytes): (String, f64)| labels.contains("offline") && bytes >= 8.0 * 30_000.0;
    until("the node knows what is stored", || nodes.metric(0, "rtm_stored_bytes").into_iter().any(is_measured)).await;
    // The other node looks what is stored at least every 30 s, when it has something to store.
    sleep(Duration::from_secs(31)).await;
    let _ = send(&carol.client).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(send(&carol.client).await.unwrap_err().kind(), ErrorKind::ExceedLimit);
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn what_no_node_says_is_counted_and_changes_nothing() {
    let nodes = Operated::start_with(2, &format!("[[project]]\napp_id = \"{APP_ID}\"\n")).await;
    let undecodable =
        || nodes.metric(0, "rtm_cluster_parcels_total")["{direction=\"received\",result=\"undecodable\"}"];
    let before = undecodable();
    let mut nats = TcpStream::connect((Ipv4Addr::LOCALHOST, nodes.nodes.nats.port(0))).unwrap();
    nats.write_all(b"CONNECT {\"verbose\":false}\r\n").unwrap();
    for subject in ["rtm.main.urgent.node-0", "rtm.main.node.node-0"] {
        nats.write_all(format!("PUB {subject} 6\r\nnobody\r\n").as_bytes()).unwrap();
    }
    until("both are counted", || undecodable() >= before + 2.0).await;
    let mut bob = nodes.nodes.log_in(Wire::Native, "bob", &[0]).await;
    let alice = nodes.nodes.log_in(Wire::Native, "alice", &[1]).await;
    alice.tells(&mut bob, "hello").await;
}
