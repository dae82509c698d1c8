//! NATS with credentials and TLS: nodes and tools come in with what is right, and with what is wrong they end with one line that
//! names it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    process::Child,
    task::spawn_blocking,
    time::timeout,
};

use crate::{
    nats::Nats,
    start::{ends, says},
    users::{APP_ID, LIMIT},
};

/// A directory for secrets and configurations.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The configuration of a node with these lines in `[cluster]`.
    fn config(&self, url: &str, lines: &str) -> PathBuf {
        let text = format!(
            "listen = '127.0.0.1:0'\n[cluster]\nnats = '{url}'\nnode = 'node'\n{lines}\n[[project]]\napp_id = '{APP_ID}'\n"
        );
        self.write("rtm.toml", text).into()
    }

    /// A node serves, and the tools look at its cluster and its store.
    async fn come_in(&self, url: &str, lines: &str) {
        let config = self.config(url, lines);
        let checked = ends(serve(&config, &["--check-config"])).await;
        assert!(checked.status.success(), "{lines}: {checked:?}");
        let (mut node, _) = start(&config).await;
        for args in [&["cluster", "status", "--format", "json"][..], &["store", "export"]] {
            let mut tool = Command::new(env!("CARGO_BIN_EXE_rtm"));
            tool.args(args).arg("--config").arg(&config);
            let output = spawn_blocking(move || tool.output().unwrap()).await.unwrap();
            assert!(output.status.success(), "{lines}: {args:?}: {output:?}");
        }
        node.kill().await.unwrap();
    }

    /// A node ends with one line that says all this, and no secret.
    async fn is_refused(&self, url: &str, lines: &str, what: &[&str]) {
        let output = ends(serve(&self.config(url, lines), &[])).await;
        says(&output, what);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains("secret") && !text.contains("wrong-one"), "{text}");
    }

    /// Already the check of the configuration says so, and asks nobody.
    async fn is_no_good(&self, lines: &str, what: &[&str]) {
        says(&ends(serve(&self.config("nats://127.0.0.1:9", lines), &["--check-config"])).await, what);
    }
}

/// A node that serves, and where.
async fn start(config: &Path) -> (Child, String) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_rtm"));
    command.args(serve(config, &[])).env_remove("RTM_LOG").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut node = command.spawn().unwrap();
    let mut lines_out = BufReader::new(node.stdout.take().unwrap()).lines();
    let line = timeout(LIMIT, lines_out.next_line()).await;
    if let Ok(Ok(Some(line))) = &line
        && let Some(address) = line.strip_prefix("listening on ")
    {
        return (node, address.to_owned());
    }
    node.kill().await.unwrap();
    panic!("{}: {:?}", config.display(), node.wait_with_output().await);
}

fn serve(config: &Path, more: &[&str]) -> Vec<String> {
    let args = ["serve", "--config", config.to_str().unwrap()];
    args.iter().chain(more).map(|arg| (*arg).to_owned()).collect()
}

async fn secured(lines: &str) -> Nats {
    Nats::start_with(1, &format!("jetstream {{ store_dir: \"DIRECTORY\" }}\n{lines}\n")).await
}

/// The address of a server with something before the host.
fn with_login(nats: &Nats, login: &str) -> String {
    nats.urls().replace("nats://", &format!("nats://{login}@"))
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_user_with_a_password() {
    let nats = secured("authorization { user: rtm, password: \"a-secret\" }").await;
    let (files, url) = (Files::new(), nats.urls());
    let good = format!("nats_user = 'rtm'\nnats_password_file = '{}'", files.write("good", "a-secret\n"));
    files.come_in(&url, &good).await;
    files.come_in(&with_login(&nats, "rtm:a-secret"), "").await;
    files.come_in(&with_login(&nats, "rtm:%61-secret"), "").await;
    let file = files.write("bad", "wrong-one");
    let bad = format!("nats_user = 'rtm'\nnats_password_file = '{file}'");
    files.is_refused(&url, &bad, &["NATS refuses the user rtm, or the password in", &file]).await;
    let address = "NATS refuses the user rtm, or the password that stands in the address";
    files.is_refused(&with_login(&nats, "rtm:wrong-one"), "", &[address]).await;
    files.is_refused(&url, "", &["NATS refuses who has no credentials, and none are configured"]).await;
    let empty = files.write("empty", "\n");
    let lines = format!("nats_user = 'rtm'\nnats_password_file = '{empty}'");
    files.is_no_good(&lines, &["cannot use", &empty, "it is empty"]).await;
}

/// The permissions that the page of clusters names.
fn page_permissions() -> String {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cluster.md")).unwrap();
    let block = page.split("```text\n").find(|block| block.starts_with("permissions:")).unwrap();
    block.split("```").next().unwrap().to_owned()
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_user_who_may_not_do_what_a_node_does() {
    let denied = [
        ("api", "publish", "$JS.API.>", "Publish to \"$JS.API.STREAM.INFO.KV_rtm_main_nodes\""),
        ("answers", "subscribe", "_INBOX.>", "Subscription to \"_INBOX."),
        ("bus", "subscribe", "rtm.>", "Subscription to \"rtm.main."),
        ("keys", "publish", "$KV.>", "Publish to \"$KV.rtm_main_nodes."),
    ];
    let users = denied.map(|(user, what, subject, _)| {
        format!("{{ user: {user}, password: a-secret, permissions: {{ {what}: {{ deny: \"{subject}\" }} }} }}")
    });
    let nats = secured(&format!(
        "accounts {{\nNONE: {{ users: [ {{ user: none, password: a-secret }} ] }}\n\
         ALL: {{ jetstream: enabled, users: [ {}, {{ user: enough, password: a-secret, {} }} ] }}\n}}",
        users.join(", "),
        page_permissions()
    ))
    .await;
    let files = Files::new();
    files.come_in(&with_login(&nats, "enough:a-secret"), "").await;
    let off = "NATS has JetStream off for the account of the user none: ";
    files.is_refused(&with_login(&nats, "none:a-secret"), "", &[off]).await;
    for (user, _, _, said) in denied {
        let said = format!("NATS denies the user {user} what the cluster needs: Permissions Violation for {said}");
        files.is_refused(&with_login(&nats, &format!("{user}:a-secret")), "", &[&said]).await;
    }
    let tools = [
        ("none", "JetStream not enabled for account"),
        ("api", "NATS denies the user api what the cluster needs"),
        ("answers", "NATS denies the user answers what the cluster needs"),
    ];
    let empty = files.write("records", "");
    for (user, said) in tools {
        let url = with_login(&nats, &format!("{user}:a-secret"));
        for args in [&["cluster", "status"][..], &["store", "export"], &["store", "import", &empty]] {
            let args = [args, &["--cluster", &url]].concat();
            says(&ends(args.into_iter().map(str::to_owned).collect()).await, &[said]);
        }
    }
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_member_says_once_what_it_may_not_store_and_goes_on() {
    let nats = secured(
        "authorization { users: [ { user: rtm, password: a-secret, permissions: { publish: { deny: \"rtm_main_mail.>\" } } } ] }",
    )
    .await;
    let files = Files::new();
    let (mut node, gateway) = start(&files.config(&with_login(&nats, "rtm:a-secret"), "")).await;
    for to in ["bob", "carol"] {
        let args =
            ["send", "--gateway", &gateway, "--app-id", APP_ID, "--uid", "alice", "--to", to, "--offline", "hello"];
        let sent = ends(args.map(str::to_owned).to_vec()).await;
        assert!(!sent.status.success(), "it cannot be stored: {sent:?}");
    }
    assert_eq!(node.try_wait().unwrap(), None, "it goes on");
    node.kill().await.unwrap();
    let log = String::from_utf8(node.wait_with_output().await.unwrap().stderr).unwrap();
    let errors: Vec<_> = log.lines().filter(|line| line.contains("ERROR") && line.contains("NATS denies")).collect();
    let said = "NATS denies the user rtm what the cluster needs: Permissions Violation for Publish to \"rtm_main_mail.";
    assert!(errors.len() == 1 && errors[0].contains(said), "{log}");
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_token() {
    let nats = secured("authorization { token: \"a-secret\" }").await;
    let files = Files::new();
    files.come_in(&nats.urls(), &format!("nats_token_file = '{}'", files.write("good", "a-secret\n"))).await;
    files.come_in(&with_login(&nats, "a-secret"), "").await;
    let file = files.write("bad", "wrong-one");
    let lines = format!("nats_token_file = '{file}'");
    files.is_refused(&nats.urls(), &lines, &["NATS refuses the token in", &file]).await;
    files.is_refused(&with_login(&nats, "wrong-one"), "", &["NATS refuses the token that stands in the address"]).await;
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn an_nkey() {
    let (known, other) = (KeyPair::new_user(), KeyPair::new_user());
    let nats = secured(&format!("authorization {{ users: [ {{ nkey: {} }} ] }}", known.public_key())).await;
    let (files, url) = (Files::new(), nats.urls());
    let in_file = |file: &str| format!("nats_nkey_file = '{file}'");
    files.come_in(&url, &in_file(&files.write("good", known.seed().unwrap() + "\n"))).await;
    let file = files.write("other", other.seed().unwrap());
    files.is_refused(&url, &in_file(&file), &["NATS refuses the NKey in", &file]).await;
    let file = files.write("account", KeyPair::new_account().seed().unwrap());
    files.is_no_good(&in_file(&file), &[&file, "it has to be the seed of a user, which begins with SU"]).await;
    let file = files.write("damaged", "SUAB");
    files.is_no_good(&in_file(&file), &[&file, "this is not the seed of an NKey"]).await;
}

/// A JWT of NATS: what it says of whom, signed.
fn jwt(by: &KeyPair, of: &KeyPair, name: &str, expires: Option<u64>, nats: &Value) -> String {
    let mut claims = json!({
        "jti": name, "iat": 1_700_000_000_u64, "iss": by.public_key(), "sub": of.public_key(), "name": name, "nats": nats,
    });
    if let Some(expires) = expires {
        claims["exp"] = expires.into();
    }
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&json!({ "typ": "JWT", "alg": "ed25519-nkey" })), encode(&claims));
    let signature = by.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_credentials_file() {
    let (operator, account, system, user) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account(), KeyPair::new_user());
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let of_account = |with_store: bool| {
        let mut limits = limits.clone();
        if !with_store {
            for limit in ["mem_storage", "disk_storage", "streams", "consumer"] {
                limits[limit] = 0.into();
            }
        }
        json!({ "type": "account", "version": 2, "limits": limits })
    };
    let root = jwt(&operator, &operator, "operator", None, &json!({ "type": "operator", "version": 2 }));
    let of_system = jwt(&operator, &system, "system", None, &of_account(false));
    let of_rtm = jwt(&operator, &account, "rtm", None, &of_account(true));
    let (system_id, account_id) = (system.public_key(), account.public_key());
    let nats = secured(&format!(
        "operator: {root}\nsystem_account: {system_id}\nresolver: MEMORY\n\
         resolver_preload: {{ {system_id}: {of_system}, {account_id}: {of_rtm} }}"
    ))
    .await;

    let (files, url) = (Files::new(), nats.urls());
    let of_user = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
    let creds = |by: &KeyPair, expires: Option<u64>| {
        format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{}\n\
             ------END USER NKEY SEED------\n",
            jwt(by, &user, "node", expires, &of_user),
            user.seed().unwrap()
        )
    };
    let in_file = |file: &str| format!("nats_credentials = '{file}'");
    let good = creds(&account, None);
    files.come_in(&url, &in_file(&files.write("good.creds", &good))).await;
    // As Kubernetes and others mount it who trim it.
    files.come_in(&url, &in_file(&files.write("trimmed.creds", good.trim_end()))).await;
    for (name, text) in [
        ("expired.creds", creds(&account, Some(1_700_000_001))),
        ("stranger.creds", creds(&KeyPair::new_account(), None)),
    ] {
        let file = files.write(name, text);
        files.is_refused(&url, &in_file(&file), &["NATS refuses the credentials in", &file]).await;
    }
    files.is_refused(&url, "", &["NATS refuses who has no credentials"]).await;
    let file = files.write("damaged.creds", "-----BEGIN NATS USER JWT-----\n");
    files.is_no_good(&in_file(&file), &["cannot use", &file]).await;
}

/// An authority that signs certificates for this machine.
struct Authority(Issuer<'static, rcgen::KeyPair>, String);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self(Issuer::new(params, key), pem)
    }

    /// Files with a certificate and its key.
    fn signs(&self, files: &Files, name: &str) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (
            files.write(&format!("{name}.pem"), certificate.pem()),
            files.write(&format!("{name}.key"), key.serialize_pem()),
        )
    }
}

fn client(pair: &(String, String)) -> String {
    format!("client = {{ certificate = '{}', key = '{}' }}", pair.0, pair.1)
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn tls() {
    let (files, ours, others) = (Files::new(), Authority::new(), Authority::new());
    let (ca, other_ca) = (files.write("ca.pem", &ours.1), files.write("other-ca.pem", &others.1));
    let (certificate, key) = ours.signs(&files, "nats");
    let pair = format!("cert_file: \"{certificate}\", key_file: \"{key}\"");
    let nats = secured(&format!("tls {{ {pair} }}")).await;
    let (plain, tls) = (nats.urls(), nats.urls().replace("nats://", "tls://"));
    for url in [&plain, &tls] {
        files.come_in(url, &format!("nats_tls = {{ ca = '{ca}' }}")).await;
        let not_trusted = ["cannot speak TLS to NATS", "invalid peer certificate", "nats_tls.ca names whom to trust"];
        files.is_refused(url, &format!("nats_tls = {{ ca = '{other_ca}' }}"), &not_trusted).await;
        files.is_refused(url, "", &not_trusted).await;
    }
    let other_name = tls.replace("127.0.0.1", "localhost");
    let for_the_name = ["cannot speak TLS to NATS", "the certificate has to be for the name in the address"];
    files.is_refused(&other_name, &format!("nats_tls = {{ ca = '{ca}' }}"), &for_the_name).await;

    let first = secured(&format!("tls {{ {pair}, handshake_first: true }}")).await;
    files.come_in(&first.urls(), &format!("nats_tls = {{ ca = '{ca}', handshake_first = true }}")).await;

    let without = secured("").await;
    let says_so = ["cannot speak TLS to NATS", "does it have TLS?"];
    files.is_refused(&without.urls(), &format!("nats_tls = {{ ca = '{ca}' }}"), &says_so).await;
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_client_certificate() {
    let (files, ours, others) = (Files::new(), Authority::new(), Authority::new());
    let ca = files.write("ca.pem", &ours.1);
    let (certificate, key) = ours.signs(&files, "nats");
    let lines = format!("tls {{ cert_file: \"{certificate}\", key_file: \"{key}\", ca_file: \"{ca}\", verify: true }}");
    let nats = secured(&lines).await;
    let url = nats.urls();
    let (good, bad) = (ours.signs(&files, "node"), others.signs(&files, "stranger"));
    files.come_in(&url, &format!("nats_tls = {{ ca = '{ca}', {} }}", client(&good))).await;
    let not_wanted = ["cannot speak TLS to NATS", "nats_tls.client names the certificate to show"];
    files.is_refused(&url, &format!("nats_tls = {{ ca = '{ca}' }}"), &not_wanted).await;
    files.is_refused(&url, &format!("nats_tls = {{ ca = '{ca}', {} }}", client(&bad)), &not_wanted).await;
}

#[tokio::test]
async fn a_check_reads_all_that_tls_to_nats_needs() {
    let (files, ours) = (Files::new(), Authority::new());
    let (ca, empty) = (files.write("ca.pem", &ours.1), files.write("empty.pem", "no certificate\n"));
    let (good, other) = (ours.signs(&files, "node"), ours.signs(&files, "other"));
    let missing = files.0.path().join("missing.pem").display().to_string();
    let config = files.config("nats://127.0.0.1:9", &format!("nats_tls = {{ ca = '{ca}', {} }}", client(&good)));
    let checked = ends(serve(&config, &["--check-config"])).await;
    assert!(checked.status.success(), "{checked:?}");
    for (lines, file, why) in [
        (format!("nats_tls = {{ ca = '{empty}' }}"), &empty, "there is no certificate in it"),
        (format!("nats_tls = {{ ca = '{missing}' }}"), &missing, ""),
        (
            format!("nats_tls = {{ {} }}", client(&(empty.clone(), good.1.clone()))),
            &empty,
            "there is no certificate in it",
        ),
        (format!("nats_tls = {{ {} }}", client(&(good.0.clone(), other.1.clone()))), &other.1, "keys"),
        (format!("nats_tls = {{ {} }}", client(&(good.0.clone(), empty.clone()))), &empty, ""),
    ] {
        files.is_no_good(&lines, &["cannot use", file, why]).await;
    }
}

#[tokio::test]
async fn a_nats_that_is_too_old_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let info = json!({
        "server_id": "OLD", "server_name": "old", "version": "2.11.9", "proto": 1, "host": "127.0.0.1", "port": port,
        "headers": true, "jetstream": true, "max_payload": 1_048_576, "client_id": 1,
    });
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let info = format!("INFO {info}\r\n");
            tokio::spawn(async move {
                let (read, mut write) = stream.split();
                write.write_all(info.as_bytes()).await.unwrap();
                let mut lines = BufReader::new(read).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    if line.starts_with("PING") && write.write_all(b"PONG\r\n").await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    let files = Files::new();
    let url = format!("nats://127.0.0.1:{port}");
    let named = format!("the NATS server old at 127.0.0.1:{port} has version 2.11.9: it has to be 2.12 or later");
    files.is_refused(&url, "", &[&named]).await;
    let status = ends(["cluster", "status", "--cluster", &url].map(str::to_owned).to_vec()).await;
    says(&status, &[&named]);
    server.abort();
}

#[tokio::test]
async fn a_tool_says_which_file_has_no_cluster() {
    let files = Files::new();
    let config = files.write("alone.toml", format!("[[project]]\napp_id = '{APP_ID}'\n"));
    for args in [["cluster", "status"], ["store", "export"]] {
        let args = [args[0], args[1], "--config", &config].map(str::to_owned);
        let output = ends(args.to_vec()).await;
        says(&output, &[&config, "has no [cluster]"]);
    }
}
