//! Logs at their most talkative hold no token, no certificate, no session and no text of a message.

use std::process::Command;

use rtm_client::{RtmEvent, Wire};

use crate::server::{APP_ID, Options, Server, soon};

const CERTIFICATE: &str = "5CFd2fd1755d40ecb72977518be15d3b";
const TEXT: &str = "nobody but Bob may read this";

fn token(user_id: &str) -> String {
    let made = Command::new(env!("CARGO_BIN_EXE_rtm"))
        .args(["token", "--app-id", APP_ID, "--certificate", CERTIFICATE, "--uid", user_id])
        .output()
        .unwrap();
    assert!(made.status.success());
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

fn assert_silent(log: &str, secrets: &[String]) {
    for secret in secrets {
        assert!(!log.contains(secret.as_str()), "the log holds {secret:?}:\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_logs_neither_tokens_nor_sessions_nor_texts() {
    let project = format!("certificates = [\"{CERTIFICATE}\"]");
    let server = Server::start(Options { project: &project, log: Some("trace"), ..Options::default() });
    let mut secrets = vec![CERTIFICATE.to_owned(), TEXT.to_owned()];
    for (from, to) in [(Wire::Native, Wire::Vendor), (Wire::Vendor, Wire::Native)] {
        let names = [format!("from-{from:?}"), format!("to-{to:?}")];
        let tokens = names.each_ref().map(|name| token(name));
        let (sender, _sender_events) = server.client(from).build().unwrap();
        let (receiver, mut events) = server.client(to).build().unwrap();
        sender.login(&names[0], Some(&tokens[0])).await.unwrap();
        receiver.login(&names[1], Some(&tokens[1])).await.unwrap();
        sender.send_message_to_peer(&names[1], TEXT).await.unwrap();
        loop {
            if let Some(RtmEvent::MessageFromPeer { message, .. }) = soon("the message", events.recv()).await {
                assert_eq!(message.as_text(), Some(TEXT));
                break;
            }
        }
        sender.set_local_user_attributes([("note", TEXT)]).await.unwrap();
        sender.send_invitation(&names[1], TEXT).await.unwrap();
        let room = sender.channel("room").unwrap();
        room.join().await.unwrap();
        room.send_message(TEXT).await.unwrap();
        // Refused ones are the likelier to be logged.
        let (guesser, _guesser_events) = server.client(from).build().unwrap();
        assert!(guesser.login("guesser", Some(&tokens[0])).await.is_err());
        secrets.extend(tokens);
        for client in [&sender, &receiver] {
            if let Some(session) = client.session().await {
                secrets.push(session.ticket().session.0.iter().map(|byte| format!("{byte:02x}")).collect());
            }
            client.logout().await.unwrap();
        }
    }
    let log = server.kill();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "nothing was logged at all: {log}");
    assert!(secrets.len() > 6, "there are sessions to look for");
    assert_silent(&log, &secrets);
}

#[tokio::test]
async fn the_tools_log_neither_tokens_nor_texts() {
    let project = format!("certificates = [\"{CERTIFICATE}\"]");
    let server = Server::start(Options { project: &project, ..Options::default() });
    let gateway = format!("http://{}", server.address);
    for wire in ["native", "vendor"] {
        let token = token("alice");
        let output = Command::new(env!("CARGO_BIN_EXE_rtm"))
            .args(["send", "--gateway", &gateway, "--app-id", APP_ID, "--uid", "alice", "--wire", wire])
            .args(["--to", "bob", TEXT])
            .env("RTM_TOKEN", &token)
            .env("RTM_LOG", "trace")
            .output()
            .unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{log}");
        assert_silent(&log, &[token, TEXT.to_owned()]);
    }
}
