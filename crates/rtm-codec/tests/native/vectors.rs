//! Plays the committed bytes against both halves: what they say, and that they are written again as they were. Those
//! of newer and older peers say what has to come of each.

use std::collections::BTreeSet;

use bytes::Bytes;
use rtm_codec::{
    ClientFrame, DecodeError, Packet, ServerFrame,
    native::{ClientCodec, ServerCodec},
};

use crate::{meaning::Tell, samples};

/// A line of `client.txt` or `server.txt`.
pub(crate) struct Vector<'t> {
    pub(crate) name: &'t str,
    pub(crate) hex: &'t str,
    pub(crate) meaning: &'t str,
}

/// What clients send.
pub(crate) fn client() -> impl Iterator<Item = Vector<'static>> {
    vectors(include_str!("vectors/client.txt"))
}

/// What servers send.
pub(crate) fn server() -> impl Iterator<Item = Vector<'static>> {
    vectors(include_str!("vectors/server.txt"))
}

#[test]
fn a_server_reads_what_clients_have_always_sent_and_a_client_still_sends_it() {
    for Vector { name, hex, meaning } in client() {
        let frames = decode_from_client(hex).unwrap();
        assert_eq!(told(&frames), meaning, "{name}");
        assert_eq!(encode_as_client(&frames), hex, "{name}");
    }
}

#[test]
fn a_client_reads_what_servers_have_always_sent_and_a_server_still_sends_it() {
    for Vector { name, hex, meaning } in server() {
        let frames = decode_from_server(hex).unwrap();
        assert_eq!(told(&frames), meaning, "{name}");
        assert_eq!(encode_as_server(&frames), hex, "{name}");
    }
}

#[test]
fn every_kind_of_frame_has_its_vector() {
    let line = |name: &str, hex: String, frame: &dyn Tell| format!("{name} {hex} {}", frame.tell());
    let client = samples::client_frames();
    let client = client.iter().map(|(name, frame)| line(name, encode_as_client(std::slice::from_ref(frame)), frame));
    assert_has("client.txt", include_str!("vectors/client.txt"), client);
    let server = samples::server_frames();
    let server = server.iter().map(|(name, frame)| line(name, encode_as_server(std::slice::from_ref(frame)), frame));
    assert_has("server.txt", include_str!("vectors/server.txt"), server);
}

#[test]
fn tags_are_given_without_a_hole() {
    // Version, length, frame tag and number, or that and the tag of an `Ok`, come before.
    let commands = tags(client(), "request.", 4);
    let answers = tags(server(), "reply.", 5);
    let events = tags(server(), "event.", 4);
    assert_eq!(commands, (0..commands.len() as u8).collect());
    assert_eq!(answers, commands);
    assert_eq!(events, (0..events.len() as u8).collect());
}

#[test]
fn what_newer_and_older_peers_send_becomes_what_was_promised() {
    for line in lines(include_str!("vectors/newer.txt")) {
        let [name, to, hex, promised] = columns(line);
        let outcome = match to {
            "to_server" => outcome(bytes(hex), |packet, frames| ServerCodec::new().decode(packet, frames)),
            "to_client" => outcome(bytes(hex), |packet, frames| ClientCodec::new().decode(packet, frames)),
            to => panic!("{name} goes to {to}"),
        };
        assert_eq!(outcome, promised, "{name} {to}");
    }
}

/// What comes of a packet: its frames, and the fault if it has one. How refusals are worded is not promised.
fn outcome<F: Tell>(packet: Bytes, decode: impl Fn(Packet, &mut Vec<F>) -> Result<(), DecodeError>) -> String {
    let mut frames = Vec::new();
    let result = decode(Packet::Binary(packet), &mut frames);
    let frames = frames.tell().without("detail");
    match result {
        Ok(()) => frames.to_string(),
        Err(error) => format!("{frames} and the connection ends: {:?}", error.kind()),
    }
}

/// Fails with the lines that are to be added.
fn assert_has(file: &str, text: &str, wanted: impl Iterator<Item = String>) {
    let there: BTreeSet<&str> = lines(text).collect();
    let missing: Vec<String> = wanted.filter(|line| !there.contains(line.as_str())).collect();
    assert!(missing.is_empty(), "{file} has not these lines:\n{}", missing.join("\n"));
}

fn tags<'t>(vectors: impl Iterator<Item = Vector<'t>>, prefix: &str, at: usize) -> BTreeSet<u8> {
    vectors
        .filter(|vector| vector.name.starts_with(prefix) && vector.hex.len() < 500)
        .map(|vector| bytes(vector.hex)[at])
        .collect()
}

fn vectors(text: &str) -> impl Iterator<Item = Vector<'_>> {
    lines(text).map(|line| {
        let [name, hex, meaning] = columns(line);
        Vector { name, hex, meaning }
    })
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn columns<const N: usize>(line: &str) -> [&str; N] {
    let columns: Vec<&str> = line.splitn(N, ' ').collect();
    columns.try_into().unwrap_or_else(|_| panic!("a line with fewer than {N} columns: {line}"))
}

fn told<F: Tell>(frames: &[F]) -> String {
    assert_eq!(frames.len(), 1, "a vector is of one frame");
    frames[0].tell().to_string()
}

fn decode_from_client(hex: &str) -> Result<Vec<ClientFrame>, DecodeError> {
    let mut frames = Vec::new();
    ServerCodec::new().decode(Packet::Binary(bytes(hex)), &mut frames).map(|()| frames)
}

fn decode_from_server(hex: &str) -> Result<Vec<ServerFrame>, DecodeError> {
    let mut frames = Vec::new();
    ClientCodec::new().decode(Packet::Binary(bytes(hex)), &mut frames).map(|()| frames)
}

fn encode_as_client(frames: &[ClientFrame]) -> String {
    let mut codec = ClientCodec::new();
    frames.iter().for_each(|frame| codec.encode(frame));
    hex(codec.take_packet())
}

fn encode_as_server(frames: &[ServerFrame]) -> String {
    let mut codec = ServerCodec::new();
    frames.iter().for_each(|frame| codec.encode(frame));
    hex(codec.take_packet())
}

fn hex(packet: Option<Packet>) -> String {
    match packet {
        Some(Packet::Binary(bytes)) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        packet => panic!("{packet:?} is no packet of the native wire"),
    }
}

/// The bytes that a vector's digits stand for.
pub(crate) fn bytes(hex: &str) -> Bytes {
    let digits = |two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap();
    hex.as_bytes().chunks(2).map(digits).collect()
}
